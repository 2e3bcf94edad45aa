"""How well scores tell two kinds of steps apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from acclimate.errors import ConfigError
from acclimate.statistics.estimates import Floats


def auroc(clean: ArrayLike, faulty: ArrayLike) -> float:
    """Return the probability that a faulty score exceeds a clean one, ties by half: Mann and Whitney's statistic.

    Example:
        >>> auroc([0.0, 1.0], [1.0, 2.0])
        0.875
    """
    ordered, faults = np.sort(_scores(clean)), _scores(faulty)
    below = np.searchsorted(ordered, faults, "left") + np.searchsorted(ordered, faults, "right")
    return float(below.mean() / (2 * len(ordered)))


def rate_at(clean: ArrayLike, faulty: ArrayLike, false_rate: float = 0.01) -> float:
    """Return the share of faulty scores above the limit that at most this share of the clean ones exceeds.

    Example:
        >>> rate_at(range(100), [98.0, 98.5, 99.0])
        0.6666666666666666
    """
    ordered = np.sort(_scores(clean))
    limit = ordered[len(ordered) - 1 - int(false_rate * len(ordered))]
    return float((_scores(faulty) > limit).mean())


def _scores(values: ArrayLike) -> Floats:
    found = np.asarray(values, dtype=np.float64).ravel()
    if not found.size:
        raise ConfigError("scores of no steps cannot be told apart; play at least one episode")
    return found
