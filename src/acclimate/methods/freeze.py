"""Train only a part of the networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import nn

from acclimate.nets.modes import hold_statistics, release_statistics, statistics_modules
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Scales, Signals


@dataclass(frozen=True, kw_only=True)
class Freeze(Method):
    """Keep the chosen weights as they are, bit for bit.

    theta_i <- theta_i for all chosen i: they have no gradient and are in no optimizer, so that neither
    moments nor weight decay move them. Normalisation layers among them keep their running statistics as well.
    What other methods add to a chosen layer is frozen with it.

    Freezing early layers is fast, and holds where the change leaves what is seen the same; all final NetHack
    runs of Wolczyk et al. 2024 (arXiv:2402.02868) froze the encoder. It loses where the sensors changed.
    """

    name: ClassVar[str] = "freeze"
    family: ClassVar[str] = "layer"
    steady: ClassVar[bool] = True
    lasting: ClassVar[bool] = False
    vacuous: ClassVar[bool] = True

    on: Select = field()
    """What to freeze, to be said each time: more of it trains faster and forgets less, and can adapt less.
    `!` leaves a part out."""

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Return 0 for every chosen weight."""
        return dict.fromkeys(net.parameters(), 0.0)

    def init(self, net: Net, context: Context) -> Any:
        """Hold the running statistics of the chosen normalisation layers, those that other methods added too."""
        for module in _normalisers(net):
            hold_statistics(module)
        return ()

    def fold(self, net: Net, state: Any, context: Context) -> None:
        """Let the running statistics move again."""
        for module in _normalisers(net):
            release_statistics(module)


def _normalisers(net: Net) -> tuple[nn.Module, ...]:
    """Return the modules with running statistics that are in view."""
    paths = {id(module): path for path, module in net.module.named_modules()}
    return tuple(module for module in statistics_modules(net.module) if net.holds(paths[id(module)]))
