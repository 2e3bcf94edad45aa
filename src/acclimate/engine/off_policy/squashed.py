"""The actor of SAC: a normal distribution, squashed to [-1, 1], whose mean and spread are two heads of a perceptron.

With u = mean + exp(log_std) * noise and a = tanh(u) the log-likelihood is, over the axes,

    log pi(a) = sum(-noise^2 / 2 - log_std - log(2 pi) / 2 - log(1 - a^2 + 1e-6))

Autograd takes the first term as -(u - mean)^2 / (2 exp(2 log_std)), whose gradients at u and mean cancel but for
rounding. Here they are left out, so that where the spread is small the gradient is the more exact one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN

from acclimate.engine.arrays.flat import Flat
from acclimate.engine.arrays.native.kernel import Kernel
from acclimate.engine.arrays.perceptron import dense_layers
from acclimate.engine.arrays.side import Side
from acclimate.engine.arrays.split import Split
from acclimate.nets.outputs import Gaussian

Array = NDArray[Any]

_HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)
_EPSILON = 1e-6
"""SB3's, which keeps the logarithm finite at the bounds."""


class SquashedActor:
    """Draws actions with their log-likelihood, and carries gradients back to the weights."""

    def __init__(self, actor: Any, flat: Flat) -> None:
        """Take the actor apart; `refusal` has said that it can be."""
        trunk = list(actor.latent_pi)
        self.trunk = Split(dense_layers(trunk), flat) if trunk else None  # type: ignore[arg-type]
        self._mean, self._spread = (
            Side(dense_layers([head]), flat)  # type: ignore[arg-type]
            for head in (actor.mu, actor.log_std)
        )
        self._sides = [side for side in (self.trunk, self._mean, self._spread) if side is not None]

    @property
    def kernel(self) -> Kernel | None:
        """What runs its first perceptron, None where numpy does."""
        return self._sides[0].kernel

    def look(self) -> None:
        """See which layers are trained now."""
        for side in self._sides:
            side.look()

    def compute(self) -> None:
        """Bring the weights up to date."""
        for side in self._sides:
            side.compute()

    def _heads(self, latent: Array, slot: int) -> tuple[Array, Array]:
        return self._mean.forward_beside(self._spread, latent, slot)

    def sample(self, x: Array) -> Array:
        """Return actions alone, (rows, axes)."""
        mean, spread = self._heads(x if self.trunk is None else self.trunk.forward(x), 0)
        return np.tanh(mean + np.exp(np.clip(spread, LOG_STD_MIN, LOG_STD_MAX)) * _noise(mean))

    def draw(self, x: Array, slot: int = 0) -> tuple[Array, Array]:
        """Return actions, (rows, axes), and their log-likelihood, (rows,); in slot 0 what `backward` needs is kept.

        Args:
            x: what the trunk's frozen first layers put out; where it has none, observations.
            slot: of the pass.
        """
        latent = x if self.trunk is None else self.trunk.upper(x, slot)
        mean, spread = self._heads(latent, slot)
        log_std = np.clip(spread, LOG_STD_MIN, LOG_STD_MAX)
        noise = _noise(mean)
        away = np.exp(log_std)
        away *= noise
        actions = np.tanh(mean + away)
        room = 1.0 - actions * actions
        likelihood = noise * noise
        likelihood *= -0.5
        likelihood -= log_std
        likelihood -= _HALF_LOG_TAU
        likelihood -= np.log(room + _EPSILON)
        if slot == 0:
            self._kept = x, latent, mean, spread, log_std, away, actions, room
        return actions, likelihood.sum(axis=1)

    @property
    def _inside(self) -> Array:
        """Where the spread's head was not clamped."""
        spread = self._kept[3]
        return (spread >= LOG_STD_MIN) & (spread <= LOG_STD_MAX)

    def outputs(self) -> tuple[Gaussian, torch.Tensor]:
        """Return what methods see of the last draw in slot 0, and the leaf that it is made of."""
        _, _, mean, _, log_std, *_ = self._kept
        leaf = torch.from_numpy(np.concatenate([mean, log_std], axis=1)).requires_grad_()
        axes = mean.shape[1]
        return Gaussian(leaf[:, :axes], leaf[:, axes:], True), leaf

    def backward(self, at_actions: Array, of_likelihood: float, at_leaf: Array | None = None) -> None:
        """Write the gradients of all weights, from the last draw in slot 0.

        Args:
            at_actions: (rows, axes), of the loss, but for what comes from the likelihoods.
            of_likelihood: of the loss with respect to each log-likelihood.
            at_leaf: (rows, 2 axes), what is added at mean and log of the spread.
        """
        x, latent, mean, _, _, away, actions, room = self._kept
        # d log pi / da = 2 a / (1 - a^2 + epsilon); da / du = 1 - a^2.
        at_mean = 2.0 * of_likelihood * actions
        at_mean /= room + _EPSILON
        at_mean += at_actions
        at_mean *= room
        at_spread = at_mean * away
        at_spread -= of_likelihood
        if at_leaf is not None:
            at_mean += at_leaf[:, : mean.shape[1]]
            at_spread += at_leaf[:, mean.shape[1] :]
        at_spread *= self._inside
        if self.trunk is None:
            self._mean.backward_beside(self._spread, x, at_mean, at_spread)
            return
        below, more = self._mean.backward_beside(self._spread, latent, at_mean, at_spread, below=True)
        below += more
        self.trunk.back(x, below)


def _noise(like: Array) -> Array:
    """Draw standard normal numbers as torch's own distributions do."""
    return torch.randn(like.shape, dtype=torch.from_numpy(like).dtype).numpy()
