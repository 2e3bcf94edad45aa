"""The statistics of returns: aggregates, bootstrap intervals, paired differences.

Aggregates and stratified bootstrap are after Agarwal et al. 2021 (arXiv:2108.13264).
The paired interval is the BCa of Efron (1987). An interval says how far the figure could move with other
episodes or seeds of the same kind; with a single value nothing can be resampled and both its ends are NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from acclimate.errors import ConfigError
from acclimate.statistics.estimates import Estimate, Floats, finite, mean

Statistic = Callable[[Floats], Floats]
"""Reduces the last axis: `(..., values)` to `(...)`."""

REPS = 50_000
CONFIDENCE = 0.95
_CHUNK = 200_000  # resampled values held in memory at once: 1.6 MB, which a cache holds too


def stratified_bootstrap(
    scores: ArrayLike | Sequence[ArrayLike],
    statistic: Statistic = mean,
    *,
    reps: int = REPS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Estimate:
    """Estimate a statistic of all scores together, resampling the runs within each task.

    Args:
        scores: One array of runs per task (of any lengths), an array `(runs, tasks)`, or one task's runs.
        statistic: What is estimated, from the values of all tasks in one row.
        reps: Resamples; more make the ends of the interval steadier.
        confidence: Share of the bootstrap distribution inside the percentile interval.
        seed: Of the resampling.
    """
    tasks = _strata(scores)
    rng = np.random.default_rng(seed)
    total = sum(len(task) for task in tasks)

    def draw(size: int) -> Floats:
        return statistic(np.concatenate([task[_resample(rng, size, len(task))] for task in tasks], axis=1))

    value = float(statistic(np.concatenate(tasks)[None, :])[0])
    # With one run in each stratum every resample is the same: that is no interval.
    varied = max(len(task) for task in tasks) > 1
    return _percentile(value, _draws(draw, reps, total) if varied else None, confidence, total)


def hierarchical_bootstrap(
    scores: ArrayLike,
    statistic: Statistic = mean,
    *,
    reps: int = REPS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Estimate:
    """Estimate a statistic of nested scores: resample the outer level, then within each choice the next.

    Args:
        scores: `(seeds, episodes)`, or deeper as in `(pretraining seeds, fine-tuning seeds, episodes)`.
        statistic: What is estimated, from all values of a resample in one row.
        reps: Resamples.
        confidence: Share of the bootstrap distribution inside the percentile interval.
        seed: Of the resampling.

    Returns:
        The estimate; its `n` counts the outermost level, which is what limits the conclusion.
    """
    values = finite(scores)
    if values.ndim < 2:
        raise ConfigError(
            f"hierarchical_bootstrap needs (seeds, episodes), got {values.shape}; use stratified_bootstrap"
        )
    rng = np.random.default_rng(seed)

    def draw(size: int) -> Floats:
        index: list[NDArray[np.intp]] = []
        for level, n in enumerate(values.shape):
            index = [chosen[..., None] for chosen in index]
            index.append(rng.integers(0, n, size=(size, *values.shape[: level + 1])))
        return statistic(values[tuple(index)].reshape(size, -1))

    value = float(statistic(values.reshape(1, -1))[0])
    samples = _draws(draw, reps, values.size) if len(values) > 1 else None
    return _percentile(value, samples, confidence, len(values))


def paired_difference(
    a: ArrayLike, b: ArrayLike, *, reps: int = REPS, confidence: float = CONFIDENCE, seed: int = 0
) -> Estimate:
    """Estimate the mean of `a - b` over pairs, with a BCa interval.

    Returns are often skewed (one fall in fifty episodes), and then the percentile interval misses too often
    on one side; BCa corrects for its bias and for their skew. Pairing takes out what the two
    agents share: the seed of the episode.

    Args:
        a: One score per pair; or `(seeds, episodes)`: seeds are resampled, then episodes (percentile).
        b: The scores that are taken away, of the same shape.
        reps: Resamples.
        confidence: Coverage aimed at.
        seed: Of the resampling.

    Raises:
        ConfigError: If the shapes differ, or a score is missing or not finite.
    """
    left, right = finite(a), finite(b)
    if left.shape != right.shape:
        raise ConfigError(f"paired scores need one shape, got {left.shape} and {right.shape}; give both the same seeds")
    gaps = left - right
    if gaps.ndim > 1:
        return hierarchical_bootstrap(gaps, reps=reps, confidence=confidence, seed=seed)
    value, n = float(gaps.mean()), len(gaps)
    if n == 1:
        return Estimate(value, np.nan, np.nan, 1)
    if np.ptp(gaps) == 0.0:  # nothing varies, the correction would divide by zero
        return Estimate(value, value, value, n)
    rng = np.random.default_rng(seed)
    samples = _draws(lambda size: gaps[_resample(rng, size, n)].mean(axis=1), reps, n)
    low, high = np.quantile(samples, _bca_levels(gaps, samples, confidence))
    return Estimate(value, float(low), float(high), n)


def probability_of_improvement(
    a: ArrayLike | Sequence[ArrayLike],
    b: ArrayLike | Sequence[ArrayLike],
    *,
    reps: int = REPS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Estimate:
    """Estimate how likely a run of `a` beats one of `b` on a task, averaged over tasks; a tie counts half.

    Args:
        a: Runs per task, as in `stratified_bootstrap`.
        b: The same tasks in the same order; the numbers of runs may differ.
        reps: Resamples, of the runs of `a` and of `b` independently within each task.
        confidence: Share of the bootstrap distribution inside the percentile interval.
        seed: Of the resampling.
    """
    ours, theirs = _strata(a), _strata(b)
    if len(ours) != len(theirs):
        raise ConfigError(
            f"`a` has {len(ours)} tasks and `b` {len(theirs)}; give both the same tasks in the same order"
        )
    wins = [(np.sign(x[:, None] - y[None, :]) + 1) / 2 for x, y in zip(ours, theirs, strict=True)]
    rng = np.random.default_rng(seed)

    def draw(size: int) -> Floats:
        # How often each run was drawn is enough: a matrix product for (reps, runs, runs) comparisons.
        parts = [
            ((_counts(rng, size, win.shape[0]) @ win) * _counts(rng, size, win.shape[1])).sum(axis=1) / win.size
            for win in wins
        ]
        return np.mean(parts, axis=0)

    n = sum(len(task) for task in ours)
    value = float(np.mean([win.mean() for win in wins]))
    varied = max(win.size for win in wins) > 1
    return _percentile(value, _draws(draw, reps, n + sum(map(len, theirs))) if varied else None, confidence, n)


def performance_profile(
    scores: ArrayLike | Sequence[ArrayLike],
    taus: ArrayLike,
    *,
    reps: int = 2_000,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[Estimate, ...]:
    """Estimate, for each score in `taus`, the share of all runs that exceed it."""
    marks = np.asarray(taus, dtype=np.float64).ravel()
    return tuple(
        stratified_bootstrap(
            scores,
            lambda rows, tau=tau: (rows > tau).mean(axis=-1),
            reps=reps,
            confidence=confidence,
            seed=seed,
        )
        for tau in marks
    )


def forgetting(before: ArrayLike, after: ArrayLike, *, seed: int = 0) -> Estimate:
    """Estimate what was lost on the source task: its paired returns before minus those after."""
    return paired_difference(before, after, seed=seed)


def _strata(scores: ArrayLike | Sequence[ArrayLike]) -> list[Floats]:
    """Return one array of runs per task; the columns of a matrix are its tasks."""
    if isinstance(scores, (list, tuple)) and scores and isinstance(scores[0], (Sequence, np.ndarray)):
        return [finite(task).ravel() for task in scores]
    values = finite(scores)  # type: ignore[arg-type]
    return [values] if values.ndim == 1 else list(values.reshape(len(values), -1).T)


def _resample(rng: np.random.Generator, size: int, n: int) -> NDArray[np.int32]:
    return rng.integers(0, n, size=(size, n), dtype=np.int32)


def _counts(rng: np.random.Generator, size: int, n: int) -> Floats:
    cells = _resample(rng, size, n) + np.arange(size, dtype=np.int64)[:, None] * n
    return np.bincount(cells.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _draws(draw: Callable[[int], Floats], reps: int, width: int) -> Floats:
    return np.concatenate([draw(size) for size in _chunks(reps, width)])


def _chunks(reps: int, width: int) -> Iterator[int]:
    step = max(1, _CHUNK // width)
    for start in range(0, reps, step):
        yield min(step, reps - start)


def _percentile(value: float, samples: Floats | None, confidence: float, n: int) -> Estimate:
    if samples is None:
        return Estimate(value, np.nan, np.nan, n)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(samples, [tail, 1.0 - tail])
    return Estimate(value, float(low), float(high), n)


def _bca_levels(values: Floats, samples: Floats, confidence: float) -> Floats:
    """Return the two quantiles of the bootstrap means to read: shifted by their bias and the values' skew."""
    normal = NormalDist()
    centre = values.mean()
    below = float(np.mean(samples < centre) + np.mean(samples == centre) / 2)
    below = min(max(below, 0.5 / len(samples)), 1 - 0.5 / len(samples))
    bias = normal.inv_cdf(below)
    # The jackknife of a mean in closed form: leaving a value out moves it by the value's distance from the centre.
    apart = values - centre
    apart = apart / np.abs(apart).max()
    skew = float((apart**3).sum() / (6.0 * (apart**2).sum() ** 1.5))
    ends = [bias + normal.inv_cdf(p) for p in ((1 - confidence) / 2, (1 + confidence) / 2)]
    return np.array([normal.cdf(bias + end / (1 - skew * end)) for end in ends])
