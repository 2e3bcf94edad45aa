"""Differences over few seeds, all measured on the same episodes: how far the mean could be from what it stands for.

Seeds are drawn, and so are episodes, which all seeds share: a return differs by its seed, by its episode and by both.
The variance of the mean is put together from the three, by the two-way analysis of variance with random effects
(Scheffe 1959, chapter 7), and its degrees of freedom by Satterthwaite (1946). An interval over seeds alone takes fifty
shared episodes for the whole world, and one that resamples three seeds covers 72 % where it says 95.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from acclimate.errors import ConfigError
from acclimate.statistics.estimates import Estimate, Floats, finite

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Spread:
    """A mean, the variance of it, and how well that is known."""

    mean: float
    variance: float
    freedom: float
    """Degrees of freedom; infinite where nothing varies."""
    n: int
    """Seeds."""

    def interval(self, confidence: float = CONFIDENCE) -> Estimate:
        """Return the mean with Student's interval; NaN where it rests on one value, or on values that all agree."""
        if self.freedom <= 0 or self.variance == 0:
            return Estimate(self.mean, np.nan, np.nan, self.n)
        half = float(stdtrit(self.freedom, 0.5 + confidence / 2)) * np.sqrt(self.variance)
        return Estimate(self.mean, float(self.mean - half), float(self.mean + half), self.n)

    def below(self, point: float = 0.0) -> float:
        """Return the one-sided p-value for the mean's lying below a point; 1 where there is no interval."""
        if self.freedom <= 0 or self.variance == 0:
            return 1.0
        return float(stdtr(self.freedom, (self.mean - point) / np.sqrt(self.variance)))

    def single(self) -> Spread:
        """Return it as that of a row that has seeds: with one of them nothing is known of others."""
        return self if self.n > 1 else Spread(self.mean, 0.0, 0.0, self.n)

    def scaled(self, factor: float) -> Spread:
        """Return that of all values times a factor."""
        return Spread(self.mean * factor, self.variance * factor**2, self.freedom, self.n)


def crossed(values: ArrayLike) -> Spread:
    """Return the spread of the mean of values (seeds, episodes), of the same episodes for all seeds.

    With one seed it is that over the episodes, which says nothing of other seeds (`single` says so).

    Raises:
        ConfigError: They have another shape, or one is not finite.
    """
    table = finite(values)
    if table.ndim != 2:
        raise ConfigError(f"values of seeds and episodes have two axes, not {table.shape}; give (seeds, episodes)")
    seeds, episodes = table.shape
    mean = float(table.mean())
    if episodes == 1 or seeds == 1:
        one = table.ravel()
        return _plain(one, seeds) if len(one) > 1 else Spread(mean, 0.0, 0.0, seeds)
    by_seed, by_episode = table.mean(axis=1), table.mean(axis=0)
    rest = table - by_seed[:, None] - by_episode[None, :] + mean
    squares = np.array([episodes * by_seed.var(ddof=1), seeds * by_episode.var(ddof=1), 0.0])
    squares[2] = (rest**2).sum() / ((seeds - 1) * (episodes - 1))
    freedoms = np.array([seeds - 1, episodes - 1, (seeds - 1) * (episodes - 1)], dtype=np.float64)
    # Where episodes show no effect of their own, what is subtracted for them would only make the spread too small.
    signs = np.array([1.0, 1.0, -1.0]) if squares[1] > squares[2] else np.array([1.0, 0.0, 0.0])
    total = float((signs * squares).sum())
    if total <= 0:
        return Spread(mean, 0.0, np.inf, seeds)
    freedom = total**2 / float((signs**2 * squares**2 / freedoms).sum())
    # Three seeds that happen to agree make the sum look as well known as the episodes are; it is not.
    return Spread(mean, total / table.size, min(freedom, seeds - 1.0), seeds)


def together(spreads: Sequence[Spread]) -> Spread:
    """Return the spread of the mean over independent cases, each with its own.

    Raises:
        ConfigError: There is none.
    """
    if not spreads:
        raise ConfigError("a mean over cases needs one at least")
    variances = np.array([each.variance for each in spreads])
    total, n = float(variances.sum()), min(each.n for each in spreads)
    mean = float(np.mean([each.mean for each in spreads]))
    if any(each.freedom <= 0 for each in spreads):
        return Spread(mean, 0.0, 0.0, n)
    if total == 0:
        return Spread(mean, 0.0, np.inf, n)
    freedom = total**2 / sum(each.variance**2 / each.freedom for each in spreads)
    return Spread(mean, total / len(spreads) ** 2, freedom, n)


def over_cases(means: ArrayLike) -> Spread:
    """Return the spread of the mean of cases, had others of the same kind been taken."""
    values = finite(means).ravel()
    return _plain(values, len(values)) if len(values) > 1 else Spread(float(values[0]), 0.0, 0.0, 1)


def improvement(
    pairs: Sequence[tuple[ArrayLike, ArrayLike]], *, confidence: float = CONFIDENCE, reps: int = 20_000, seed: int = 0
) -> Estimate:
    """Estimate how likely a run of one way returns more than one of another, averaged over cases; ties count half.

    All pairs of seeds are compared. The interval resamples seeds within cases, and widens what that gives by
    sqrt(n / (n - 1)), as few seeds vary too little among themselves.

    Args:
        pairs: for each case the means of the seeds of the one way, and of the other.
        confidence: share of the bootstrap distribution inside.
        reps: resamples.
        seed: of the resampling.
    """
    wins = [_wins(one, other) for one, other in pairs]
    if not wins:
        raise ConfigError("a probability of improvement needs one case at least")
    value, fewest = float(np.mean([win.mean() for win in wins])), min(min(win.shape) for win in wins)
    # Where each run of the one beats each of the other, resampling shows nothing of what other seeds might.
    if fewest < 2 or all(np.ptp(win) == 0 for win in wins):
        return Estimate(value, np.nan, np.nan, fewest)
    rng = np.random.default_rng(seed)
    drawn = np.mean([_resampled(rng, win, reps) for win in wins], axis=0)
    wider = value + (drawn - value) * np.sqrt(fewest / (fewest - 1))
    low, high = np.quantile(wider, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value, float(max(low, 0.0)), float(min(high, 1.0)), fewest)


def chance(one: ArrayLike, other: ArrayLike) -> float:
    """Return how often a run of one way returned more than one of another, ties half, over all pairs of runs."""
    return float(_wins(one, other).mean())


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Tell which hypotheses are rejected by Holm's step-down procedure (1979), which bounds the chance of any error."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    rejected = [False] * len(p_values)
    for place, index in enumerate(order):
        if p_values[index] > level / (len(p_values) - place):
            break
        rejected[index] = True
    return rejected


def _plain(values: Floats, n: int) -> Spread:
    variance = float(values.var(ddof=1) / len(values))
    return Spread(float(values.mean()), variance, np.inf if variance == 0 else len(values) - 1.0, n)


def _wins(one: ArrayLike, other: ArrayLike) -> Floats:
    return (np.sign(finite(one).ravel()[:, None] - finite(other).ravel()[None, :]) + 1) / 2


def _resampled(rng: np.random.Generator, wins: Floats, reps: int) -> Floats:
    rows = rng.multinomial(wins.shape[0], np.full(wins.shape[0], 1 / wins.shape[0]), size=reps)
    columns = rng.multinomial(wins.shape[1], np.full(wins.shape[1], 1 / wins.shape[1]), size=reps)
    return ((rows @ wins) * columns).sum(axis=1) / wins.size
