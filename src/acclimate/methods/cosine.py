"""Let the learning rate fall along a cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from acclimate.errors import ConfigError
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.tuning.method import Method, Scales, Signals


@dataclass(frozen=True, kw_only=True)
class Cosine(Method):
    """Lower the learning rate over the run: lr * (end + (1 - end) * (1 + cos(pi * progress)) / 2).

    It is read as each rollout begins. `lr` is the rate that the algorithm itself sets; where that falls already,
    the two multiply.

    Source: Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts" (arXiv:1608.03983), one
    period without restarts. There it ends at zero; here at a tenth, because the last steps of a run cost environment
    steps like all others and should still teach. Use it for long runs and for a steady last agent. It loses where the
    agent is still improving at the end, as after a hard shift: low rates lost on those of this library's pilot. What
    is kept is the best agent in any case, so a restless end costs less than it does elsewhere.
    """

    name: ClassVar[str] = "cosine"
    family: ClassVar[str] = "learning-rate"

    end: float = 0.1
    """Share of the rate at the end of the run. Higher: it falls less."""
    on: Select = Select("*")
    """Which networks or parts; the rest keeps its rate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.end <= 1.0:
            raise ConfigError(f"cosine.end is {self.end}; give a share of the rate in (0, 1], 0.1 for example")

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Return the factor of now."""
        height = (1.0 + math.cos(math.pi * min(signals.progress, 1.0))) / 2.0
        return dict.fromkeys(net.parameters(), self.end + (1.0 - self.end) * height)
