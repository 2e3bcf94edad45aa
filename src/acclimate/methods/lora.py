"""Train a low-rank change of each layer, and nothing else of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import Parameter

from acclimate.errors import ConfigError
from acclimate.nets.closed_form import Array, Closed, View
from acclimate.nets.net import Layer, Net
from acclimate.nets.seeding import generator
from acclimate.nets.select import Select
from acclimate.nets.surgery import reparameterise, stored
from acclimate.tuning.computed import ComputedInWeights
from acclimate.tuning.context import Context
from acclimate.tuning.method import Scales, Signals


class LowRank(Closed):
    """A weight to which the product of two thin matrices is added."""

    def __init__(self, weight: Tensor, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        self.scale = scale
        # A rank above that of the layer itself would only add numbers.
        rank = min(rank, rows, columns)
        down = torch.empty(rank, columns)
        nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
        self.down = Parameter(down.to(weight))
        self.up = Parameter(torch.empty(rows, rank).zero_().to(weight))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight, (out, ...), and scale * up @ down."""
        return weight + self.scale * (self.up @ self.down).view_as(weight)

    def form(self, stored: Array, value: View, gradient: View) -> LowRankForm:
        """Return the same in arrays."""
        return LowRankForm(self.scale, value(self.up), value(self.down), gradient(self.up), gradient(self.down))


@dataclass(frozen=True)
class LowRankForm:
    """A weight and scale * up @ down."""

    scale: float
    up: Array
    """(out, rank)"""
    down: Array
    """(rank, in)"""
    at_up: Array
    at_down: Array

    def write(self, stored: Array, out: Array) -> None:
        """Multiply and add."""
        change = self.up @ self.down
        change *= self.scale
        np.add(stored, change.reshape(stored.shape), out=out)

    def pull(self, stored: Array, gradient: Array) -> None:
        """Add the gradients of the two thin matrices."""
        at_product = self.scale * gradient.reshape(len(stored), -1)
        self.at_up[...] += at_product @ self.down.T
        self.at_down[...] += self.up.T @ at_product

    def below(self, gradient: Array) -> Array:
        """Return the gradient as it is."""
        return gradient


@dataclass(frozen=True, kw_only=True)
class LoRA(ComputedInWeights):
    """Add a trained matrix of low rank to each weight: W <- W0 + (alpha / rank) * B A, with B = 0 at the start.

    A is (rank, in) and B is (out, rank); of a convolution, `in` counts its channels times the size of its kernel.
    A is drawn uniformly from +-1/sqrt(in), as PEFT does, where the paper draws a Gaussian. W0 is frozen. The sum is
    computed in the weights, so it costs nothing at inference and folds away at the end.

    Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv:2106.09685). rank and alpha
    are PEFT's defaults; in a layer of 64 by 64, rank 8 trains a quarter of its numbers, so in small networks it
    is a constraint more than a saving. Use it where little has to change and much must be kept, or where many
    variants of one agent are stored. It loses where the change wants weights of full rank, and learns less than
    training everything ("LoRA Learns Less and Forgets Less", arXiv:2405.09673, on language models).
    """

    name: ClassVar[str] = "lora"
    family: ClassVar[str] = "adapter"
    by_layer: ClassVar[bool] = True
    steady: ClassVar[bool] = True

    rank: int = 8
    """Rank of the change. Higher: more can change and is forgotten. A layer's own rank bounds it."""
    alpha: float = 8.0
    """Strength of the change is alpha / rank. Higher: the same step of A and B moves the weights further."""
    rate: float = 1.0
    """Factor of the learning rate of A and B. Higher: adapts faster, less steadily. At the start only B has a
    gradient, and it is that of the weights seen through A."""
    train_bias: bool = False
    """Train the layers' biases as well."""
    on: Select = Select("*")
    """Which layers. Fewer: less can adapt. What is no layer there, such as `log_std`, trains on as it is."""

    module: ClassVar[type[LowRank]] = LowRank

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank < 1:
            raise ConfigError(f"{self.name}.rank is {self.rank}; give 1 or more")
        for field in ("alpha", "rate"):
            if getattr(self, field) <= 0:
                raise ConfigError(f"{self.name}.{field} is {getattr(self, field)}; give a number above 0")

    def inject(self, net: Net, context: Context) -> None:
        """Put the same A and B on every layer and on its twin."""
        for place, layer in enumerate(net.layers()):
            for module in layer.pair:
                weight: Tensor = module.weight.detach()  # type: ignore[assignment, operator]
                # Drawn anew for the twin from the same seed: equal values, parameters of its own.
                drawn = generator(context.seed, net.role, place)
                reparameterise(module, "weight", self.module(weight, self.rank, self.alpha / self.rank, drawn))

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Freeze the layers' own weights, and give what was added its rate."""
        scales: dict[Parameter, float] = dict.fromkeys(net.recurrent_parameters(), 0.0)
        for layer in net.layers():
            for parameter in own(net, layer):
                free = self.train_bias and parameter is stored(layer.module).get("bias")
                scales[parameter] = 1.0 if free else 0.0
            for module in layer.module.modules():
                if type(module) is self.module:
                    scales |= dict.fromkeys(module.parameters(), self.rate)
        return scales


def own(net: Net, layer: Layer) -> Iterator[Parameter]:
    """Yield the weights that a layer was pretrained with."""
    pretrained = {id(parameter) for parameter in net.pretrained}
    return (parameter for parameter in layer.module.parameters() if id(parameter) in pretrained)
