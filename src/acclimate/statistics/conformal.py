"""Limits that a new episode passes no more often than asked: split-conformal quantiles.

Source: Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World". Of n + 1 exchangeable scores the last
exceeds the k-th smallest of the others with probability (n + 1 - k) / (n + 1) at most. It holds on average over the
calibrations that might have been drawn, not for each of them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from acclimate.errors import ConfigError


def needed(alpha: float) -> int:
    """Return how many scores a limit needs that a new one exceeds with probability `alpha` at most.

    Example:
        >>> needed(0.05), needed(0.05 / 3)
        (19, 59)
    """
    # Without the rounding 1 / 0.05 - 1 is 19.000000000000004 by way of some divisions.
    return math.ceil(round(1 / alpha - 1, 9))


def conformal_quantile(scores: ArrayLike, alpha: float) -> float:
    """Return the limit that one more score exceeds with probability `alpha` at most: the ceil((n + 1)(1 - alpha))-th.

    Args:
        scores: exchangeable with the one to come, one for each episode.
        alpha: between 0 and 1.

    Raises:
        ConfigError: There are too few of them, or `alpha` is no such number.

    Example:
        >>> conformal_quantile(range(1, 20), 0.1)
        18.0
    """
    if not 0.0 < alpha < 1.0:
        raise ConfigError(f"the rate of false alarms is {alpha}; give one between 0 and 1, 0.05 for example")
    ordered = np.sort(np.asarray(scores, dtype=np.float64).ravel())
    if len(ordered) < needed(alpha):
        raise ConfigError(
            f"{len(ordered)} episodes are too few for a limit that one in {1 / alpha:.0f} passes: {needed(alpha)} are "
            "needed"
        )
    place = math.ceil(round((len(ordered) + 1) * (1 - alpha), 9))
    return float(ordered[place - 1])
