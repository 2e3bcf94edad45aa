"""A value with its interval, and the means that are taken of returns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from acclimate.errors import ConfigError

Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """A figure with its interval and the number of values behind it."""

    value: float
    low: float
    high: float
    n: int

    def excludes(self, point: float = 0.0) -> bool:
        """Say whether the interval lies wholly on one side of a point (never, where there is no interval)."""
        return self.low > point or self.high < point


def mean(scores: ArrayLike) -> Floats:
    """Average over the last axis."""
    return np.mean(np.asarray(scores, dtype=np.float64), axis=-1)


def iqm(scores: ArrayLike) -> Floats:
    """Average the middle half over the last axis; `int(n / 4)` values are cut at each end, as in SciPy."""
    ordered = np.sort(np.asarray(scores, dtype=np.float64), axis=-1)
    n = ordered.shape[-1]
    cut = int(0.25 * n)
    return ordered[..., cut : n - cut].mean(axis=-1)


def optimality_gap(scores: ArrayLike, *, target: float = 1.0) -> Floats:
    """Return how far scores fall short of the target on average; what lies above it makes up for nothing."""
    return target - np.minimum(np.asarray(scores, dtype=np.float64), target).mean(axis=-1)


def gain(score: float, zero_shot: float, source: float) -> float:
    """Return the share of the way from the zero-shot return to the source return; NaN where there is none."""
    return (score - zero_shot) / (source - zero_shot) if source != zero_shot else float("nan")


def finite(scores: ArrayLike) -> Floats:
    """Return the scores as floats; a missing, NaN or infinite one is a `ConfigError` that names it."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim == 0 or values.size == 0:
        raise ConfigError("statistics need at least one score; evaluate at least one episode")
    if not np.isfinite(values).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise ConfigError(
            f"score {where} is {values[where]}; a run that failed must be left out by name, not averaged in"
        )
    return values


def lower_bound(differences: NDArray[np.float64], errors: float = 1.0) -> float:
    """Return the mean of paired differences less some standard errors; minus infinity for fewer than two."""
    if len(differences) < 2:
        return -np.inf
    spread = float(np.std(differences, ddof=1)) / np.sqrt(len(differences))
    return float(differences.mean()) - errors * spread
