"""Train a column beside a frozen network, and blend its features in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter

from acclimate.errors import ConfigError
from acclimate.methods.lora import own
from acclimate.methods.residual import Beside, added, ways
from acclimate.nets.net import Net, Way
from acclimate.nets.seeding import generator
from acclimate.nets.select import Select
from acclimate.nets.surgery import insert
from acclimate.tuning.context import Context
from acclimate.tuning.method import WIDEST, Method, Scales, Signals


class Column(Beside):
    """Blends what it makes of the features into the hidden units that a head reads; nothing at the start."""

    def __init__(self, way: Way, width: int, generator: torch.Generator) -> None:
        head: Any = way.head.module
        super().__init__(way.features, width, head.in_features, head.weight, generator)
        self.blend = Parameter(torch.zeros_like(head.weight[0, :1]))

    def forward(self, units: Tensor) -> Tensor:
        """Return the hidden units, (batch, units), with those of the column blended in."""
        return units + self.blend * (self.read() - units)


@dataclass(frozen=True, kw_only=True)
class Side(Method):
    """Blend a trained column into the last hidden units: h <- (1 - b) h0(x) + b s(x), with b = 0 at the start.

    x are the features that the network reads and h0 the hidden units that its head reads; s is a hidden layer of tanh
    units with a linear layer after it, and b one trained number for each head. The layers before the head are frozen;
    the head trains on, as it reads what is blended. `log_std` and running statistics are not frozen, nor are features
    that actor and critic share unless `freeze` holds them.

    Source: Zhang et al. 2020, "Side-Tuning: A Baseline for Network Adaptation via Additive Side Networks"
    (arXiv:1912.13503). There the side network starts as a small copy of the base and the blend may be fixed; here it
    starts with no share at all, so that the first action is the pretrained agent's: until b has grown, s learns
    little. Use it where new features are wanted and the old ones must stay; unlike `residual` it can let go of what
    the pretrained network sees (b = 1). It loses where the old features only need a small turn, which `lora` makes
    with fewer numbers. The agent does not end as a stock network: it is saved as a bundle.
    """

    name: ClassVar[str] = "side"
    family: ClassVar[str] = "adapter"
    by_layer: ClassVar[bool] = True
    steady: ClassVar[bool] = True
    foldable: ClassVar[bool] = False

    width: int = 32
    """Hidden units of the column. More: richer new features, more to learn."""
    rate: float = 1.0
    """Factor of the learning rate of column and blend. Higher: the column takes over sooner, less steadily."""
    train_head: bool = True
    """Train the head on. Off: what is learnt lies in the column alone, and the old policy is in the file unchanged."""
    on: Select = Select("actor|q")
    """Which networks. Critics train in full unless they are named."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.width <= WIDEST:
            raise ConfigError(f"side.width is {self.width}; give 1 to {WIDEST}")
        if self.rate <= 0:
            raise ConfigError(f"side.rate is {self.rate}; give a number above 0")

    def inject(self, net: Net, context: Context) -> None:
        """Put the same column before each head and before its twin.

        Raises:
            SurgeryError: if no linear head is in view.
        """
        for place, way in enumerate(ways(net, self.name)):
            for head, inlet in zip(way.head.pair, way.inlets, strict=True):
                extra = Column(way, self.width, generator(context.seed, net.role, place))
                # In front of the head's own hook: where features go straight into a head, it sees them first.
                inlet.register_forward_pre_hook(extra.see)
                insert(head, extra, before=True)

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Freeze the layers before the heads, and give the columns their rate."""
        scales: dict[Parameter, float] = dict.fromkeys(net.recurrent_parameters(), 0.0)
        for layer in net.layers():
            scales |= dict.fromkeys(own(net, layer), 1.0 if layer.head and self.train_head else 0.0)
        for module in added(net, Column):
            scales |= dict.fromkeys(module.parameters(), self.rate)
        return scales

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the parameters of the columns."""
        return [parameter for module in added(net, Column) for parameter in module.parameters()]
