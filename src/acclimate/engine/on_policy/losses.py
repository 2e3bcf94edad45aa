"""The losses of PPO and A2C in numpy, and their gradients at log-likelihood, entropy and value.

What they log is computed once for all minibatches of an update: by the minibatch, it took as long as the loss itself.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acclimate.engine.on_policy.rows import Rows

Array = NDArray[Any]


@dataclass
class Slopes:
    """Where a loss pulls: its gradients."""

    log_likelihood: Array
    """(rows,)"""
    value: Array
    """(rows,)"""
    entropy: float
    """The same for each row."""


@dataclass(frozen=True)
class Weights:
    """How much the terms of a loss weigh."""

    entropy: float
    value: float


def standardise(advantages: Array) -> None:
    """Give advantages mean 0 and standard deviation 1 in place, as SB3 does; a single one is left as it is."""
    rows = len(advantages)
    if rows > 1:
        advantages -= np.add.reduce(advantages) / rows
        advantages /= math.sqrt(np.dot(advantages, advantages) / (rows - 1)) + 1e-8


@dataclass
class _Seen:
    """What a loss was computed from on the minibatches of an epoch, (rows,) each."""

    log_likelihood: Array
    entropy: Array
    difference: Array
    """Of the critic to what it should have said."""
    old_log_likelihood: Array
    advantages: Array
    ends: list[int]
    """Where the minibatches end that were computed."""


class Loss(ABC):
    """A loss on the minibatches of one epoch after another, and what SB3 logs of it."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self._seen: list[_Seen] = []

    def begin(self, rows: Rows) -> None:
        """Begin an epoch on these rows, in the order of its minibatches."""
        self._rows = rows
        room = (np.empty_like(rows.advantages) for _ in range(3))
        self._now = _Seen(*room, rows.log_likelihood, rows.advantages, [])
        self._seen.append(self._now)

    def __call__(self, place: slice, log_likelihood: Array, entropy: Array | float, values: Array) -> Slopes:
        """Return the gradients on some rows, whose arrays have one number for each row."""
        now, count = self._now, place.stop - place.start
        now.ends.append(place.stop)
        now.log_likelihood[place], now.entropy[place] = log_likelihood, entropy
        value = self._value(place, values)
        value *= 2.0 * self.weights.value / count
        return Slopes(self._policy(place, log_likelihood, count), value, -self.weights.entropy / count)

    def _value(self, place: slice, values: Array) -> Array:
        """Write the difference whose mean square is the critic's loss, and return its gradient but for a factor."""
        return np.subtract(values, self._rows.returns[place], out=self._now.difference[place]).copy()

    @abstractmethod
    def _policy(self, place: slice, log_likelihood: Array, count: int) -> Array:
        """Return the gradient at the log-likelihoods."""

    def figures(self) -> dict[str, Array]:
        """Return what SB3 logs, one number for each minibatch so far."""
        parts = [_Seen(*(a[: s.ends[-1]] for a in list(vars(s).values())[:-1]), s.ends) for s in self._seen]
        joined = [np.concatenate(arrays) for arrays in zip(*(list(vars(p).values())[:-1] for p in parts), strict=True)]
        counts = np.concatenate([np.diff([0, *p.ends]) for p in parts])
        ends = np.cumsum(counts)

        def means(values: Array) -> Array:
            return np.add.reduceat(values.astype(np.float64), ends - counts) / counts

        return self._figures(_Seen(*joined, list(ends)), means)

    @abstractmethod
    def _figures(self, seen: _Seen, means: Callable[[Array], Array]) -> dict[str, Array]:
        """Return what SB3 logs, given all rows and what takes the mean of each minibatch."""


class Surrogate(Loss):
    """PPO's clipped loss (Schulman et al. 2017, arXiv:1707.06347), in the form that SB3 computes."""

    def __init__(self, weights: Weights, clip: float, value_clip: float | None) -> None:
        super().__init__(weights)
        self.clip, self.value_clip = clip, value_clip

    def _policy(self, place: slice, log_likelihood: Array, count: int) -> Array:
        advantages = self._rows.advantages[place]
        ratio = log_likelihood - self._rows.log_likelihood[place]
        np.exp(ratio, out=ratio)
        plain = advantages * ratio
        np.maximum(ratio, 1.0 - self.clip, out=ratio)
        np.minimum(ratio, 1.0 + self.clip, out=ratio)
        ratio *= advantages
        # Inside of the clip range both branches are one and the same, outside the clipped one is flat.
        plain *= plain <= ratio
        plain *= -1.0 / count
        return plain

    def _value(self, place: slice, values: Array) -> Array:
        if self.value_clip is None:
            return super()._value(place, values)
        old, most = self._rows.values[place], self.value_clip
        moved = values - old
        inside = np.abs(moved) <= most
        difference = old + np.clip(moved, -most, most) - self._rows.returns[place]
        self._now.difference[place] = difference
        return difference * inside

    def approximate_kl(self, place: slice) -> float:
        """Return how far the policy is from that of the rollout on some rows."""
        log_ratio = self._now.log_likelihood[place] - self._now.old_log_likelihood[place]
        return float(np.add.reduce(np.exp(log_ratio) - 1.0 - log_ratio)) / len(log_ratio)

    def _figures(self, seen: _Seen, means: Callable[[Array], Array]) -> dict[str, Array]:
        log_ratio = seen.log_likelihood - seen.old_log_likelihood
        ratio, weights = np.exp(log_ratio), self.weights
        clipped = seen.advantages * np.clip(ratio, 1.0 - self.clip, 1.0 + self.clip)
        figures = {
            "policy_gradient_loss": -means(np.minimum(seen.advantages * ratio, clipped)),
            "value_loss": means(seen.difference * seen.difference),
            "entropy_loss": -means(seen.entropy),
            "clip_fraction": means(np.abs(ratio - 1.0) > self.clip),
            "approx_kl": means(ratio - 1.0 - log_ratio),
        }
        terms = weights.entropy * figures["entropy_loss"] + weights.value * figures["value_loss"]
        return {**figures, "loss": figures["policy_gradient_loss"] + terms}

    def minibatches_of_last_epoch(self) -> int:
        """Return how many minibatches of the last epoch were computed."""
        return len(self._now.ends)


class AdvantageLoss(Loss):
    """A2C's loss (Mnih et al. 2016, arXiv:1602.01783), in the form that SB3 computes."""

    def _policy(self, place: slice, log_likelihood: Array, count: int) -> Array:
        return self._rows.advantages[place] / -count

    def _figures(self, seen: _Seen, means: Callable[[Array], Array]) -> dict[str, Array]:
        return {
            "policy_loss": -means(seen.advantages * seen.log_likelihood),
            "value_loss": means(seen.difference * seen.difference),
            "entropy_loss": -means(seen.entropy),
        }
