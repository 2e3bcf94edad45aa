"""The distributions of actions in numpy: log-likelihood, entropy, and their gradients at the network's outputs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acclimate import outputs as kinds

Array = NDArray[Any]

_HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


class Distribution(ABC):
    """Actions given what a policy's network puts out."""

    @abstractmethod
    def sample(self, out: Array) -> Array:
        """Draw actions with torch's generator, as SB3 does, so that a run is the same with either."""

    @abstractmethod
    def evaluate(self, out: Array, actions: Array) -> tuple[Array, Array]:
        """Return the log-likelihood of actions and the entropy, (rows,) each; what `backward` needs is kept."""

    @abstractmethod
    def backward(self, of_log_likelihood: Array, of_entropy: float) -> Array:
        """Return the gradient at the outputs, right after `evaluate`.

        Args:
            of_log_likelihood: (rows,), of the loss with respect to the log-likelihoods.
            of_entropy: of the loss with respect to each row's entropy.
        """

    @abstractmethod
    def as_outputs(self, out: Tensor) -> kinds.Policy:
        """Return what methods see of the policy."""


class Normal(Distribution):
    """Independent normal distributions whose spread does not depend on the observation."""

    def __init__(self, log_std: Array, log_std_gradient: Array, log_std_parameter: Tensor) -> None:
        self.log_std, self._gradient, self._parameter = log_std, log_std_gradient, log_std_parameter

    def sample(self, out: Array) -> Array:
        """Draw actions."""
        noise = torch.randn(out.shape, dtype=torch.from_numpy(out).dtype).numpy()
        return out + np.exp(self.log_std) * noise

    def evaluate(self, out: Array, actions: Array) -> tuple[Array, Array]:
        """Return log-likelihood and entropy."""
        self._precision = np.exp(-2.0 * self.log_std)
        self._gap = actions - out
        self._squares = self._gap * self._gap * self._precision
        constant = float(self.log_std.sum()) + _HALF_LOG_TAU * len(self.log_std)
        entropy = np.full(len(out), constant + 0.5 * len(self.log_std), out.dtype)
        return -0.5 * self._squares.sum(-1) - out.dtype.type(constant), entropy

    def backward(self, of_log_likelihood: Array, of_entropy: float) -> Array:
        """Return the gradient at the means, and write that of the log of the spread."""
        weight = of_log_likelihood[:, None]
        np.sum(weight * (self._squares - 1.0), axis=0, out=self._gradient)
        self._gradient += of_entropy * len(of_log_likelihood)
        self._gap *= self._precision
        self._gap *= weight
        return self._gap

    def as_outputs(self, out: Tensor) -> kinds.Gaussian:
        """Return the distribution as methods see it."""
        return kinds.Gaussian(out, self._parameter)


class Choices(Distribution):
    """One choice out of several options, or several such choices side by side."""

    def __init__(self, sizes: Sequence[int], single: bool) -> None:
        self.sizes, self._single = tuple(sizes), single
        self._cuts = list(np.cumsum(self.sizes)[:-1])

    def _log_softmax(self, out: Array) -> list[Array]:
        parts = np.split(out, self._cuts, axis=-1) if self._cuts else [out]
        logs = []
        for part in parts:
            shifted = part - part.max(-1, keepdims=True)
            logs.append(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))
        return logs

    def sample(self, out: Array) -> Array:
        """Draw actions, (rows,) for one choice, (rows, choices) for several."""
        drawn = [torch.multinomial(torch.from_numpy(np.exp(log)), 1, True)[:, 0] for log in self._log_softmax(out)]
        return (drawn[0] if self._single else torch.stack(drawn, dim=1)).numpy()

    def evaluate(self, out: Array, actions: Array) -> tuple[Array, Array]:
        """Return log-likelihood and entropy, summed over the choices."""
        self._logs = self._log_softmax(out)
        self._chosen = actions.reshape(len(out), -1).astype(np.int64)
        self._rows = np.arange(len(out))
        likelihood, entropy = np.zeros(len(out), out.dtype), np.zeros(len(out), out.dtype)
        self._probabilities, self._entropies = [], []
        for place, log in enumerate(self._logs):
            p = np.exp(log)
            own = -(p * log).sum(-1)
            likelihood += log[self._rows, self._chosen[:, place]]
            entropy += own
            self._probabilities.append(p)
            self._entropies.append(own)
        return likelihood, entropy

    def backward(self, of_log_likelihood: Array, of_entropy: float) -> Array:
        """Return the gradient at the logits."""
        parts = []
        for place, (p, log, entropy) in enumerate(zip(self._probabilities, self._logs, self._entropies, strict=True)):
            part = -of_log_likelihood[:, None] * p
            part[self._rows, self._chosen[:, place]] += of_log_likelihood
            if of_entropy:
                part -= of_entropy * p * (log + entropy[:, None])
            parts.append(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def as_outputs(self, out: Tensor) -> kinds.Categorical:
        """Return the distribution as methods see it."""
        return kinds.Categorical(out, () if self._single else self.sizes)


class Coins(Distribution):
    """Independent yes-or-no actions."""

    def sample(self, out: Array) -> Array:
        """Draw actions, (rows, actions)."""
        return torch.bernoulli(torch.from_numpy(_sigmoid(out))).numpy()

    def evaluate(self, out: Array, actions: Array) -> tuple[Array, Array]:
        """Return log-likelihood and entropy, summed over the actions."""
        self._out, self._yes, self._actions = out, _sigmoid(out), actions.reshape(out.shape)
        softplus = np.logaddexp(0.0, out)
        likelihood = (self._actions * out - softplus).sum(-1)
        entropy = (softplus - self._yes * out).sum(-1)
        return likelihood.astype(out.dtype), entropy.astype(out.dtype)

    def backward(self, of_log_likelihood: Array, of_entropy: float) -> Array:
        """Return the gradient at the logits."""
        gradient = of_log_likelihood[:, None] * (self._actions - self._yes)
        if of_entropy:
            gradient -= of_entropy * self._out * self._yes * (1.0 - self._yes)
        return gradient.astype(self._out.dtype)

    def as_outputs(self, out: Tensor) -> kinds.Bernoulli:
        """Return the distribution as methods see it."""
        return kinds.Bernoulli(out)


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))
