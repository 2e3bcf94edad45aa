"""Shares of episodes, with intervals that hold where all or none succeed and a bootstrap has nothing to resample."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from acclimate.errors import ConfigError
from acclimate.statistics.estimates import Estimate

CONFIDENCE = 0.95


def proportion(successes: ArrayLike, *, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate the share of successes, with Wilson's score interval (1927).

    Args:
        successes: One truth value per episode.
        confidence: Coverage aimed at.

    Raises:
        ConfigError: There is no episode.
    """
    values = _truths(successes)
    n, share, z2 = len(values), float(values.mean()), _normal(confidence) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # Rounding must not part the ends from 0 and 1, nor the share from its interval.
    return Estimate(share, max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share)), n)


def paired_proportions(a: ArrayLike, b: ArrayLike, *, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate by how much the share of successes of `a` exceeds that of `b` over pairs, with Newcombe's interval.

    It is method 10 of Newcombe (1998, Statistics in Medicine 17, 2635): Wilson's intervals of both shares, put together
    with their correlation. Pairs that all end alike still leave it a width, unlike a bootstrap.

    Raises:
        ConfigError: There is no pair, or the numbers differ.
    """
    ours, theirs = _truths(a), _truths(b)
    if len(ours) != len(theirs):
        raise ConfigError(f"paired successes need one length, got {len(ours)} and {len(theirs)}")
    one, other = proportion(ours, confidence=confidence), proportion(theirs, confidence=confidence)
    gap, phi = one.value - other.value, _correlation(ours, theirs)
    low = gap - _apart(one.value - one.low, other.high - other.value, phi)
    high = gap + _apart(one.high - one.value, other.value - other.low, phi)
    return Estimate(gap, max(low, -1.0), min(high, 1.0), len(ours))


def _apart(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one**2 - 2 * phi * one * other + other**2))


def _correlation(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> float:
    """Return the pairs' correlation, lessened by Newcombe's correction for continuity where it is positive."""
    n, first, second = len(ours), int(ours.sum()), int(theirs.sum())
    both = int((ours & theirs).sum())
    excess = both * n - first * second
    scale = math.sqrt(first * (n - first) * second * (n - second))
    if excess > 0:
        excess = max(0.0, excess - n / 2)
    return excess / scale if scale else 0.0


def _truths(values: ArrayLike) -> NDArray[np.bool_]:
    found = np.asarray(values, dtype=bool).ravel()
    if not found.size:
        raise ConfigError("a share needs at least one episode; evaluate at least one")
    return found


def _normal(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)
