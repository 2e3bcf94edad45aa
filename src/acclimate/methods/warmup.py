"""Begin at a low learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from acclimate.errors import ConfigError
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.schedule import Linear
from acclimate.tuning.method import Method, Scales, Signals


@dataclass(frozen=True, kw_only=True)
class Warmup(Method):
    """Raise the learning rate in a straight line: lr * (start + (1 - start) * min(progress / fraction, 1)).

    It is read as each rollout begins, so on-policy it rises in steps. `lr` is the rate that the algorithm itself
    sets, its own schedule included.

    Source: gradual warm-up in Goyal et al. 2017, "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour"
    (arXiv:1706.02677). What it is for here is another thing: Adam begins without moments, and its first steps go a
    full learning rate in the direction of a few noisy gradients, of a critic that does not know the new world. Use it
    where the return falls in the first updates; the default is short because those are few. It loses time and
    nothing else, which counts in a short run. `hold` keeps the actor for the same reason, more strictly.
    """

    name: ClassVar[str] = "warmup"
    family: ClassVar[str] = "learning-rate"

    fraction: float = 0.05
    """Share of the run after which the full rate is reached. Higher: a gentler start, a later one."""
    start: float = 0.1
    """Share of the rate to begin with. Higher: less of a warm-up."""
    on: Select = Select("*")
    """Which networks or parts; the rest begins at the full rate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("fraction", "start"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ConfigError(f"warmup.{name} is {getattr(self, name)}; give a share in (0, 1]; `hold` holds at 0")

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Return the factor of now."""
        return dict.fromkeys(net.parameters(), Linear(self.start, 1.0, self.fraction)(signals.progress))
