"""The losses of PPO and A2C in numpy, and their gradients at log-likelihood, entropy and value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def standardised(advantages: Array) -> Array:
    """Return advantages with mean 0 and standard deviation 1, as SB3 does; a single one is left as it is."""
    if len(advantages) <= 1:
        return advantages
    away = advantages - np.add.reduce(advantages) / len(advantages)
    away /= math.sqrt(np.dot(away, away) / (len(away) - 1)) + 1e-8
    return away


def _mean(values: Array) -> float:
    """Return a mean; numpy's own takes longer to begin than to add."""
    return float(np.add.reduce(values)) / len(values)


@dataclass
class Surrogate:
    """PPO's clipped loss (Schulman et al. 2017, arXiv:1707.06347), in the form that SB3 computes."""

    clip: float
    value_clip: float | None
    entropy_weight: float
    value_weight: float

    def __call__(
        self,
        log_likelihood: Array,
        entropy: Array,
        values: Array,
        *,
        old_log_likelihood: Array,
        advantages: Array,
        old_values: Array,
        returns: Array,
    ) -> tuple[Slopes, dict[str, float]]:
        """Return the gradients and what SB3 logs; every array has one number for each row."""
        rows = len(advantages)
        log_ratio = log_likelihood - old_log_likelihood
        ratio = np.exp(log_ratio)
        plain = advantages * ratio
        clipped = advantages * np.clip(ratio, 1.0 - self.clip, 1.0 + self.clip)
        inside = np.abs(ratio - 1.0) <= self.clip
        # Inside of the clip range both branches are one and the same, outside the clipped one is flat.
        slope = np.where(inside | (plain < clipped), -plain / rows, 0.0)
        difference, into = values - returns, 1.0
        if self.value_clip is not None:
            moved = values - old_values
            into = np.abs(moved) <= self.value_clip
            difference = old_values + np.clip(moved, -self.value_clip, self.value_clip) - returns
        value_loss = _mean(difference * difference)
        policy_loss = -_mean(np.minimum(plain, clipped))
        entropy_loss = -_mean(entropy)
        logged = {
            "policy_gradient_loss": policy_loss,
            "value_loss": value_loss,
            "entropy_loss": entropy_loss,
            "clip_fraction": 1.0 - _mean(inside),
            "approx_kl": _mean(ratio - 1.0 - log_ratio),
            "loss": policy_loss + self.entropy_weight * entropy_loss + self.value_weight * value_loss,
        }
        value = (2.0 * self.value_weight / rows) * difference * into
        return Slopes(slope.astype(values.dtype, copy=False), value, -self.entropy_weight / rows), logged


@dataclass
class AdvantageLoss:
    """A2C's loss (Mnih et al. 2016, arXiv:1602.01783), in the form that SB3 computes."""

    entropy_weight: float
    value_weight: float

    def __call__(
        self, log_likelihood: Array, entropy: Array, values: Array, *, advantages: Array, returns: Array
    ) -> tuple[Slopes, dict[str, float]]:
        """Return the gradients and what SB3 logs; every array has one number for each row."""
        rows = len(advantages)
        difference = values - returns
        logged = {
            "policy_loss": -_mean(advantages * log_likelihood),
            "value_loss": _mean(difference * difference),
            "entropy_loss": -_mean(entropy),
        }
        value = (2.0 * self.value_weight / rows) * difference
        return Slopes(-advantages / rows, value, -self.entropy_weight / rows), logged
