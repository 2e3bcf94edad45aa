"""Train the layer that the outputs come from, and nothing before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch.nn import Parameter

from acclimate.nets.modes import hold_statistics, release_statistics, statistics_modules
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Scales, Signals


@dataclass(frozen=True, kw_only=True)
class LastLayer(Method):
    """Train the last layer on the pretrained features phi: y = W phi(x) + b, with phi as it was, bit for bit.

    The last layer is the one that actions or values come from: both that put out the mean and the spread of SAC, the
    last one of each critic, none of the features that actor and critic share. Running statistics are held as well.
    A `log_std` that is no layer trains on.

    Linear probing is old, and its results in reinforcement learning are poor: in Farebrother, Machado and Bowling 2018
    (arXiv:1810.00123) reusing the features of DQN under a new last part was far worse than reusing all. That was with
    a new head, and this keeps the pretrained one. Use it where the same features serve and only what to do with them
    changed (rewards, gains of actuators), and where little may be forgotten. It loses where sensors or dynamics
    changed so that the features no longer tell what matters: no head can read what they leave out.
    """

    name: ClassVar[str] = "last-layer"
    family: ClassVar[str] = "layer"
    steady: ClassVar[bool] = True

    on: Select = Select("*")
    """Which networks. `actor` alone leaves the critic free to learn the new values with all it has, which is the
    milder choice."""

    def inject(self, net: Net, context: Context) -> None:
        """Hold the running statistics."""
        for module in _normalisers(net):
            hold_statistics(module)

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Return 0 for everything in view but the head and what is part of no layer."""
        free = {id(p) for p in (*self.constrains(net), *net.loose_parameters())}
        return {p: 0.0 for p in net.parameters() if id(p) not in free}

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the weights of the last layer, and what methods added to it."""
        return [p for layer in net.layers() if layer.head for p in layer.module.parameters()]

    def fold(self, net: Net, state: Any, context: Context) -> None:
        """Let the running statistics move again."""
        for module in _normalisers(net):
            release_statistics(module)


def _normalisers(net: Net) -> list[Any]:
    """Return the modules with running statistics that are in view."""
    paths = {id(module): path for path, module in net.module.named_modules()}
    return [module for module in statistics_modules(net.module) if net.holds(paths[id(module)])]
