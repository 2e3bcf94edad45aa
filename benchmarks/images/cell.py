"""What one row of the image benchmark brought with one seed, and the intervals of its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acclimate.statistics.bootstrap import hierarchical_bootstrap, stratified_bootstrap
from acclimate.statistics.estimates import Estimate


@dataclass
class Cell:
    """Returns are of paired episodes."""

    case: str
    row: str
    seed: int
    steps: int = 0
    seconds: float = 0.0
    target: list[float] = field(default_factory=list)
    source: list[float] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


def estimate(returns: Sequence[Sequence[float]]) -> Estimate:
    """Return the mean with its interval: over seeds and episodes, or over episodes where there is one seed."""
    scores = np.asarray(returns, dtype=np.float64)
    return hierarchical_bootstrap(scores) if len(scores) > 1 else stratified_bootstrap(scores[0])
