"""Scale and shift output channels as a function of what is known of the task."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from acclimate.errors import ConfigError
from acclimate.nets.net import Net
from acclimate.nets.seeding import seed_of
from acclimate.nets.select import Select
from acclimate.nets.surgery import reparameterise
from acclimate.tuning.computed import ComputedInWeights
from acclimate.tuning.context import Context
from acclimate.tuning.method import WIDEST, Scales, Signals


class Generator(nn.Module):
    """Makes a change of scale and a shift for each output channel of one layer out of a context.

    Its weights are plain parameters: a linear layer inside of a layer would count as one of the network's own.
    """

    def __init__(self, context: tuple[float, ...], hidden: int, like: Tensor, seed: int) -> None:
        super().__init__()
        self.context = context
        reach = 1.0 / math.sqrt(len(context))
        generator = torch.Generator().manual_seed(seed)
        self.enter = Parameter((torch.rand(hidden, len(context), generator=generator) * 2 - 1).mul(reach).to(like))
        self.enter_shift = Parameter(like.new_zeros(hidden))
        self.leave = Parameter(like.new_zeros(2 * len(like), hidden))
        self.leave_shift = Parameter(like.new_zeros(2 * len(like)))

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the scale, (out,), and the shift, (out,)."""
        units = torch.tanh(self.enter @ self.enter.new_tensor(self.context) + self.enter_shift)
        change, shift = (self.leave @ units + self.leave_shift).chunk(2)
        return 1.0 + change, shift


class ModulatedWeight(nn.Module):
    """A weight whose output channels are multiplied by the generated scale."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight, (out, ...), with each row multiplied."""
        scale, _ = self.generator()
        return weight * scale.view(-1, *(1,) * (weight.dim() - 1))


class ModulatedBias(nn.Module):
    """A bias that is multiplied by the generated scale, and shifted."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, bias: Tensor) -> Tensor:
        """Return the bias, (out,), of the scaled and shifted layer."""
        scale, shift = self.generator()
        return torch.addcmul(shift, bias, scale)


@dataclass(frozen=True, kw_only=True)
class FiLM(ComputedInWeights):
    """Scale and shift output channels by functions of a context z: y_c <- (1 + g_c(z)) * y_c + b_c(z).

    (g, b) = V tanh(U z + u) + v for each layer, with V = 0 and v = 0 at the start, so that the first action is the
    pretrained agent's. z are numbers that describe the task, such as the factors of gravity and mass, given in the
    recipe; they are constant within a run, so scale and shift fold into the weights exactly at the end. The layers'
    own weights are frozen. A layer without a bias is scaled alone.

    Source: Perez et al. 2018, "FiLM: Visual Reasoning with a General Conditioning Layer" (arXiv:1709.07871). What it
    adds to `channel` is the function: one generator can be trained in several contexts, in a loop of one's own that
    says by `in_context` which of them it is in, and then interpolates between them. With one context, as in
    `finetune`, it is `channel` in other coordinates: it can become the same networks and no others, and takes larger
    steps, since all of V's columns move a scale at once. It loses to `channel` there, which has fewer numbers and
    plainer steps, and wherever new features are needed.
    """

    name: ClassVar[str] = "film"
    family: ClassVar[str] = "channel"
    by_layer: ClassVar[bool] = True
    steady: ClassVar[bool] = True

    context: tuple[float, ...]
    """The numbers that describe the task, about 1 in size: what tells it from others. More of them tell more
    contexts apart, and need more contexts to learn from."""
    hidden: int = 16
    """Units of each generator. More: less smooth a function of the context, larger steps."""
    rate: float = 1.0
    """Factor of the learning rate of the generators. Higher: adapts faster, less steadily. Adam moves every number
    by about the learning rate, so a scale moves by up to 1 + `hidden` times as much: 1 is already more than the same
    rate of `channel`."""
    on: Select = Select("*")
    """Which layers. Fewer: less can adapt. What is no layer there, such as `log_std`, trains on as it is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.context or not all(math.isfinite(number) for number in self.context):
            raise ConfigError(f"film.context is {self.context}; give finite numbers that tell of the task")
        if not 1 <= self.hidden <= WIDEST:
            raise ConfigError(f"film.hidden is {self.hidden}; give 1 to {WIDEST} units")
        if self.rate <= 0:
            raise ConfigError(f"film.rate is {self.rate}; give a factor above 0, or leave the method out")

    def inject(self, net: Net, context: Context) -> None:
        """Put a generator on every layer, and the same one to begin with on its twin."""
        for place, layer in enumerate(net.layers()):
            seed = seed_of(context.seed, net.role, place)
            first = Generator(self.context, self.hidden, layer.module.weight, seed)  # type: ignore[arg-type]
            for module in layer.pair:
                generator = first if module is layer.module else copy.deepcopy(first)
                reparameterise(module, "weight", ModulatedWeight(generator))
                if module.bias is not None:
                    reparameterise(module, "bias", ModulatedBias(generator))

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Freeze the layers' own weights, and give the generators their rate."""
        pretrained = {id(parameter) for parameter in net.pretrained}
        scales = dict.fromkeys(net.recurrent_parameters(), 0.0)
        for layer in net.layers():
            scales |= {p: 0.0 for p in layer.module.parameters() if id(p) in pretrained}
            for module in layer.module.modules():
                if isinstance(module, Generator):
                    scales |= dict.fromkeys(module.parameters(), self.rate)
        return scales


def in_context(module: nn.Module, context: Sequence[float]) -> None:
    """Tell the generators in a network, or in its target, which context it is in from now on.

    Raises:
        ConfigError: if it has not as many numbers as the one they were made for.
    """
    for part in module.modules():
        if isinstance(part, Generator):
            if len(context) != len(part.context):
                raise ConfigError(f"film: the context {context} has not {len(part.context)} numbers; give as many")
            part.context = tuple(context)
