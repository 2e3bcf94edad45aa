"""Let the critic learn first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from acclimate.errors import ConfigError
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.tuning.method import Method, Signals


@dataclass(frozen=True, kw_only=True)
class Hold(Method):
    """Keep the chosen weights as they are for the first steps, so that the others adapt to them.

    g_i <- none for all chosen i, in each update up to `steps` environment steps: an optimizer passes over a weight
    without a gradient, so that neither moments nor weight decay move it. Normalisation layers still take in their
    running statistics; `freeze` holds those too.

    A critic of the old world misleads the actor in the new one; held for a while, the actor is what the critic learns
    the values of, as in the NetHack runs of Wolczyk et al. 2024 (arXiv:2402.02868).
    """

    name: ClassVar[str] = "hold"
    family: ClassVar[str] = "layer"
    vacuous: ClassVar[bool] = True

    steps: int
    """Environment steps for which to hold. More gives the critic more time, and the actor less of the run."""
    on: Select = Select("actor|trunk")
    """What to hold; features that the actor shares are part of what it does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 0:
            raise ConfigError(f"hold.steps is {self.steps}; give 0 or more")

    def gradient(self, net: Net, state: Any, signals: Signals) -> None:
        """Take the gradients away while the hold lasts."""
        if signals.env_steps <= self.steps:
            for parameter in net.parameters():
                parameter.grad = None
