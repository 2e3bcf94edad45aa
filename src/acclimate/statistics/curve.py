"""What a learning curve says in one figure each: its area, its worst dip, when it reached a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from acclimate.errors import ConfigError
from acclimate.statistics.estimates import Floats, finite


def auc(steps: ArrayLike, returns: ArrayLike) -> float:
    """Return the area under a learning curve over its length: the average return on the way (trapezoids)."""
    at, height = _curve(steps, returns)
    if len(at) == 1:
        return float(height[0])
    return float(np.trapezoid(height, at) / (at[-1] - at[0]))


def worst_dip(returns: ArrayLike) -> float:
    """Return the lowest point of a learning curve minus its first: 0 where it never fell below it."""
    heights = finite(returns)
    return float(heights.min() - heights[0])


def recovery(steps: ArrayLike, returns: ArrayLike) -> float | None:
    """Return the first measured step after the lowest point at which the curve is back at its first height, else None.

    A curve that never fell below its first point has recovered at it.
    """
    at, height = _curve(steps, returns)
    lowest = int(height.argmin())
    back = np.flatnonzero(height[lowest:] >= height[0])
    return float(at[lowest + back[0]]) if len(back) else None


class Crossing(NamedTuple):
    """When a curve reached a threshold; if it never did, `steps` is its last step and `reached` false."""

    steps: float
    reached: bool


def steps_to_threshold(steps: ArrayLike, returns: ArrayLike, threshold: float) -> Crossing:
    """Find the first measured step whose return is at least the threshold, else the end, censored."""
    at, height = _curve(steps, returns)
    above = np.flatnonzero(height >= threshold)
    return Crossing(float(at[above[0]]), True) if len(above) else Crossing(float(at[-1]), False)


def crossings(runs: Sequence[Crossing]) -> dict[str, float | int | None]:
    """Count the runs that reached the threshold; their median step is None while half have not reached it."""
    if not runs:
        raise ConfigError("crossings needs at least one run; got none")
    ordered = sorted(run.steps if run.reached else np.inf for run in runs)
    middle = float(np.median(ordered)) if np.isfinite(ordered[len(ordered) // 2]) else None
    return {"runs": len(runs), "reached": sum(run.reached for run in runs), "median_steps": middle}


def _curve(steps: ArrayLike, returns: ArrayLike) -> tuple[Floats, Floats]:
    at, height = finite(steps), finite(returns)
    if at.shape != height.shape or at.ndim != 1:
        raise ConfigError(f"a curve needs one return per step, got shapes {at.shape} and {height.shape}")
    if np.any(np.diff(at) <= 0):
        raise ConfigError("the steps of a curve must increase; sort its points and drop repeated ones")
    return at, height
