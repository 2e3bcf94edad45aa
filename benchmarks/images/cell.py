"""What one row of the image benchmark brought with one seed, and the intervals of its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from acclimate.statistics.estimates import Estimate
from acclimate.statistics.seeds import crossed


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
    """Return the mean of returns (seeds, episodes) with Student's interval, over episodes alone where one seed ran."""
    return crossed(list(returns)).interval()
