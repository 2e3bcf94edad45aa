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

from acclimate.nets import outputs as kinds

Array = NDArray[Any]

_HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


class Distribution(ABC):
    """Actions given what a policy's network puts out."""

    @abstractmethod
    def sample(self, out: Array) -> Array:
        """Draw actions with torch's generator, as SB3 does, so that a run is the same with either."""

    def prepared(self, actions: Array) -> Array:
        """Return the actions of a rollout, (rows, numbers), as `evaluate` reads them."""
        return actions

    def rows(self, prepared: Array, index: Any) -> Array:
        """Return the rows of prepared actions."""
        return prepared[index]

    @abstractmethod
    def evaluate(self, out: Array, actions: Array) -> Array:
        """Return the log-likelihood of prepared actions, (rows,); what `backward` needs is kept."""

    @abstractmethod
    def entropy(self) -> Array | float:
        """Return the entropy, (rows,) or one number for all, right after `evaluate`."""

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

    def evaluate(self, out: Array, actions: Array) -> Array:
        """Return the log-likelihood."""
        self._precision = np.exp(-2.0 * self.log_std)
        self._gap = actions - out
        self._squares = self._gap * self._gap
        self._squares *= self._precision
        self._constant = float(np.add.reduce(self.log_std)) + _HALF_LOG_TAU * len(self.log_std)
        likelihood = np.add.reduce(self._squares, 1)
        likelihood *= -0.5
        likelihood -= self._constant
        return likelihood

    def entropy(self) -> float:
        """Return the entropy, which is the same for all rows."""
        return self._constant + 0.5 * len(self.log_std)

    def backward(self, of_log_likelihood: Array, of_entropy: float) -> Array:
        """Return the gradient at the means, and write that of the log of the spread."""
        weight = of_log_likelihood[:, None]
        np.dot(of_log_likelihood, self._squares, out=self._gradient)
        self._gradient += of_entropy * len(of_log_likelihood) - float(np.add.reduce(of_log_likelihood))
        self._gap *= self._precision
        self._gap *= weight
        return self._gap

    def as_outputs(self, out: Tensor) -> kinds.Gaussian:
        """Return the distribution as methods see it."""
        return kinds.Gaussian(out, self._parameter)


class Choices(Distribution):
    """One choice out of several options, or several such choices side by side.

    Arrays are (options, rows) inside: numpy sums over the first axis several times as fast as over a short last one.
    """

    def __init__(self, sizes: Sequence[int], single: bool) -> None:
        self.sizes, self._single = tuple(sizes), single
        ends = np.cumsum(self.sizes)
        self._parts = [slice(end - size, end) for size, end in zip(self.sizes, ends, strict=True)]

    def _look(self, out: Array) -> None:
        """Compute the logarithms of the probabilities, and these, of all options."""
        self._logs = logs = np.array(out.T, order="C")
        self._probabilities = probabilities = np.empty_like(logs)
        for part in self._parts:
            log, p = logs[part], probabilities[part]
            log -= np.maximum.reduce(log, 0)
            np.exp(log, p)
            total = np.add.reduce(p, 0)
            log -= np.log(total)
            np.exp(log, p)

    def sample(self, out: Array) -> Array:
        """Draw actions, (rows,) for one choice, (rows, choices) for several."""
        self._look(out)
        drawn = []
        for part in self._parts:
            # What torch's `multinomial` does for a single draw, at a quarter of its price.
            p = np.ascontiguousarray(self._probabilities[part].T)
            race = torch.empty(p.shape, dtype=torch.from_numpy(p).dtype).exponential_(1).numpy()
            drawn.append(np.divide(p, race, out=p).argmax(1))
        return drawn[0] if self._single else np.stack(drawn, axis=1)

    def prepared(self, actions: Array) -> Array:
        """Return ones at the options that were chosen, (options, rows), booleans."""
        chosen = actions.reshape(len(actions), -1).astype(np.int64).T
        options = [np.arange(size)[:, None] == chosen[place] for place, size in enumerate(self.sizes)]
        return np.concatenate(options)

    def rows(self, prepared: Array, index: Any) -> Array:
        """Return the rows of prepared actions."""
        return prepared[:, index]

    def evaluate(self, out: Array, actions: Array) -> Array:
        """Return the log-likelihood, summed over the choices."""
        self._look(out)
        self._chosen = actions
        return np.add.reduce(self._logs * actions, 0)

    def entropy(self) -> Array:
        """Return the entropy, summed over the choices."""
        return -np.add.reduce(self._probabilities * self._logs, 0)

    def backward(self, of_log_likelihood: Array, of_entropy: float) -> Array:
        """Return the gradient at the logits."""
        gradient = self._chosen - self._probabilities
        gradient *= of_log_likelihood
        if of_entropy:
            for part in self._parts:
                p, log = self._probabilities[part], self._logs[part]
                gradient[part] -= of_entropy * p * (log - np.add.reduce(p * log, 0))
        return gradient.T

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
        self._softplus = np.logaddexp(0.0, out)
        return (self._actions * out - self._softplus).sum(-1).astype(out.dtype)

    def entropy(self) -> Array:
        """Return the entropy, summed over the choices."""
        return (self._softplus - self._yes * self._out).sum(-1).astype(self._out.dtype)

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
