"""Shares of episodes, with intervals that hold where all or none succeed and a bootstrap has nothing to resample."""

from __future__ import annotations

import math
from collections.abc import Callable
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


def exact_proportion(successes: ArrayLike, *, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate the share of successes, with Clopper and Pearson's interval (1934), which never covers too seldom.

    Args:
        successes: One truth value per episode.
        confidence: Coverage at least.

    Raises:
        ConfigError: There is no episode.

    Example:
        >>> low, high = exact_proportion([False] * 20)[1:3]
        >>> low, round(high, 4)
        (0.0, 0.1684)
    """
    values, tail = _truths(successes), (1 - confidence) / 2
    n, k = len(values), int(values.sum())
    low = _where(lambda p: _at_least(k, n, p), tail) if k else 0.0
    high = _where(lambda p: _at_least(k + 1, n, p), 1 - tail) if k < n else 1.0
    return Estimate(k / n, low, high, n)


def _at_least(k: int, n: int, p: float) -> float:
    """Return the probability of k or more successes in n, each with probability p."""
    ways = (math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(k, n + 1))
    return math.fsum(
        math.exp(way + i * math.log(p) + (n - i) * math.log1p(-p)) for i, way in zip(range(k, n + 1), ways, strict=True)
    )


def _where(rising: Callable[[float], float], value: float) -> float:
    """Return where between 0 and 1 a rising function takes a value, by bisection to a float's last digits."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < value else (low, middle)
    return (low + high) / 2


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
