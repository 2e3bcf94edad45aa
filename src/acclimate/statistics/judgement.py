"""Whether an agent surely gains: the bound by which a run keeps what it tuned."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from acclimate.statistics.estimates import finite

FEWEST = 20
"""Paired episodes below which nothing is judged."""
CONFIDENCE = 0.95
REPS = 10_000


def sure_gain(differences: ArrayLike, *, confidence: float = CONFIDENCE, reps: int = REPS, seed: int = 0) -> float:
    """Return what the mean of paired differences surely exceeds: the lower bound of the studentised bootstrap.

    A resample's distance from the mean is measured in its own standard error (Efron and Tibshirani 1993, chapter 12).
    A sample that holds few of the rare falls of an agent looks good and even at the same time, so that a normal bound
    keeps an agent without any gain twice as often as it says. Here a resample without a fall has an error of nearly
    nothing, and pushes the bound down. What no episode has shown no bound can know (`python -m benchmarks.keeping`).

    Args:
        differences: the return of one agent minus the other's, for each episode.
        confidence: that the mean is above the bound.
        reps: resamples.
        seed: of the resampling.

    Returns:
        The bound; minus infinity for fewer than two differences.

    Raises:
        ConfigError: If there is none, or one is not finite.
    """
    values = finite(differences).ravel()
    n = len(values)
    if n < 2:
        return -np.inf
    centre, error = values.mean(), _errors(values[None])[0]
    nothing = 1e-9 * np.abs(values).max()
    if error <= nothing:
        return float(centre)
    samples = values[np.random.default_rng(seed).integers(0, n, size=(reps, n), dtype=np.int32)]
    apart, errors = samples.mean(axis=1) - centre, _errors(samples)
    far = np.copysign(np.inf, apart)
    distances = np.divide(apart, errors, out=far, where=errors > nothing)
    return float(centre - np.quantile(distances, confidence, method="higher") * error)


def unseen(episodes: int, *, confidence: float = CONFIDENCE) -> float:
    """Return the rate above which an event would have shown itself in so many episodes, with this confidence."""
    return float(1.0 - (1.0 - confidence) ** (1.0 / episodes))


def _errors(rows: np.ndarray) -> np.ndarray:
    """Return the standard error of each row's mean."""
    return rows.std(axis=1, ddof=1) / np.sqrt(rows.shape[1])
