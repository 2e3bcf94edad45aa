"""Learn what to add to what a network puts out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.lora import own
from acclimate.nets.net import Net, Way
from acclimate.nets.seeding import generator
from acclimate.nets.select import Select
from acclimate.nets.surgery import insert
from acclimate.tuning.context import Context
from acclimate.tuning.method import WIDEST, Method, Scales, Signals


class Beside(nn.Module):
    """A small network that reads the features that the network beside it reads."""

    def __init__(self, features: int, width: int, outputs: int, like: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        # They draw weights that are not used; the caller's random numbers must not depend on that.
        with torch.random.fork_rng(devices=[]):
            self.hidden = nn.Linear(features, width)
            self.out = nn.Linear(width, outputs)
        for layer in (self.hidden, self.out):
            nn.init.orthogonal_(layer.weight, gain=2**0.5, generator=generator)
            nn.init.zeros_(layer.bias)
        self.to(like)
        self._seen: Tensor | None = None

    def see(self, inlet: nn.Module, args: tuple[Tensor, ...]) -> None:
        """Keep the features of this pass: a hook on what they go into."""
        self._seen = args[0]

    def read(self) -> Tensor:
        """Return what this network makes of the features of this pass."""
        seen, self._seen = self._seen, None
        if seen is None:
            raise SurgeryError(
                "a head was run without the layers before it, so what stands beside them saw nothing; run the network"
            )
        return self.out(torch.tanh(self.hidden(seen.flatten(1))))


class Correction(Beside):
    """Adds what it makes of the features to an output; nothing at the start."""

    def __init__(self, way: Way, width: int, scale: float, generator: torch.Generator) -> None:
        head: Any = way.head.module
        super().__init__(way.features, width, head.out_features, head.weight, generator)
        self.scale = scale
        nn.init.zeros_(self.out.weight)

    def forward(self, output: Tensor) -> Tensor:
        """Return the output, (batch, outputs), corrected."""
        return output + self.scale * self.read()


@dataclass(frozen=True, kw_only=True)
class Residual(Method):
    """Add a small trained network to a frozen one: y(x) <- y0(x) + scale * f(x), with f = 0 at the start.

    x are the features that the network reads: the observation, what the features extractor makes of it, or these with
    the action. y0 is what its head puts out: mean or logits of a policy before squashing, values of a Q-network; each
    head has an f of its own, a hidden layer of tanh units whose output layer is zero at the start. The layers of the
    network are frozen; `log_std` and running statistics are not, and features that actor and critic share train on
    unless `freeze` holds them.

    Source: Silver et al. 2018, "Residual Policy Learning" (arXiv:1812.06298), with the zero output layer; there y0 need
    not be a network at all and the sum is taken over actions, here before squashing, so that no action leaves its
    bounds. Use it where the pretrained policy is nearly right, and must remain in the file as it was. It loses where
    y0 is wrong all over: f then has to undo it. The agent does not end as a stock network: it is saved as a bundle.
    """

    name: ClassVar[str] = "residual"
    family: ClassVar[str] = "adapter"
    by_layer: ClassVar[bool] = True
    steady: ClassVar[bool] = True
    foldable: ClassVar[bool] = False

    width: int = 32
    """Hidden units of f. More: finer corrections, more to learn."""
    scale: float = 1.0
    """Factor of what f adds. Higher: the same step of f changes the output more."""
    rate: float = 1.0
    """Factor of the learning rate of f. Higher: adapts faster, less steadily."""
    on: Select = Select("actor|q")
    """Which networks. Critics train in full unless they are named."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.width <= WIDEST:
            raise ConfigError(f"residual.width is {self.width}; give 1 to {WIDEST}")
        for field in ("scale", "rate"):
            if getattr(self, field) <= 0:
                raise ConfigError(f"residual.{field} is {getattr(self, field)}; give a number above 0")

    def inject(self, net: Net, context: Context) -> None:
        """Put the same network beside each head and beside its twin.

        Raises:
            SurgeryError: if no linear head is in view.
        """
        for place, way in enumerate(ways(net, self.name)):
            for head, inlet in zip(way.head.pair, way.inlets, strict=True):
                extra = Correction(way, self.width, self.scale, generator(context.seed, net.role, place))
                insert(head, extra)
                inlet.register_forward_pre_hook(extra.see)

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Freeze the layers' own weights, and give the networks beside them their rate."""
        scales: dict[Parameter, float] = dict.fromkeys(net.recurrent_parameters(), 0.0)
        for layer in net.layers():
            scales |= dict.fromkeys(own(net, layer), 0.0)
        for module in added(net, Correction):
            scales |= dict.fromkeys(module.parameters(), self.rate)
        return scales

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the parameters of the networks beside the heads."""
        return [parameter for module in added(net, Correction) for parameter in module.parameters()]


def ways(net: Net, culprit: str) -> tuple[Way, ...]:
    """Return how features become outputs.

    Raises:
        SurgeryError: if no linear head is in view; it names the culprit.
    """
    found = net.ways()
    if not found:
        raise SurgeryError(
            f"`{culprit}` on `{net.role}`: no linear layer in view puts out what it does; choose another by `on`"
        )
    return found


def added(net: Net, kind: type[nn.Module]) -> list[nn.Module]:
    """Return the modules of a class that stand beside the heads in view."""
    return [module for way in net.ways() for module in way.head.module.children() if isinstance(module, kind)]
