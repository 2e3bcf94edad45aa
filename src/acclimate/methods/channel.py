"""Train a scale and a shift of each output channel, and nothing else of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from acclimate.errors import ConfigError
from acclimate.nets.closed_form import Array, Closed, RowScale, View
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.nets.surgery import reparameterise
from acclimate.tuning.computed import ComputedInWeights
from acclimate.tuning.context import Context
from acclimate.tuning.method import Scales, Signals


class Scaled(RowScale):
    """The weight of a layer that `channel` has changed."""


class ScaledAndShifted(Closed):
    """A bias that is multiplied by the scale of its weight, and shifted."""

    def __init__(self, scale: Parameter, shift: Parameter) -> None:
        super().__init__()
        self.scale = scale
        self.shift = shift

    def forward(self, bias: Tensor) -> Tensor:
        """Return the bias, (out,), of the scaled and shifted layer."""
        return torch.addcmul(self.shift, bias, self.scale)

    def form(self, stored: Array, value: View, gradient: View) -> ShiftForm:
        """Return the same in arrays."""
        return ShiftForm(value(self.scale), value(self.shift), gradient(self.scale), gradient(self.shift))


@dataclass(frozen=True)
class ShiftForm:
    """A bias times a scale, and a shift; all are (out,)."""

    scale: Array
    shift: Array
    at_scale: Array
    at_shift: Array

    def write(self, stored: Array, out: Array) -> None:
        """Multiply and add."""
        np.multiply(stored, self.scale, out=out)
        out += self.shift

    def pull(self, stored: Array, gradient: Array) -> None:
        """Add the gradients of scale and shift."""
        self.at_scale[...] += gradient * stored
        self.at_shift[...] += gradient

    def below(self, gradient: Array) -> Array:
        """Multiply."""
        return gradient * self.scale


@dataclass(frozen=True, kw_only=True)
class ChannelScale(ComputedInWeights):
    """Scale and shift the output channels: y_c <- g_c * y_c + b_c, with g = 1 and b = 0 at the start.

    It is computed in the weights: W_c <- g_c W_c and bias_c <- g_c bias_c + b_c, so it costs nothing at
    inference and folds away exactly at the end. The layers' own weights are frozen. A layer without a bias is
    scaled alone.

    Source: Lian et al. 2022, "Scaling & Shifting Your Features: A New Baseline for Efficient Model Tuning"
    (arXiv:2210.08823), but with the identity at the start, so that the first action is the pretrained
    agent's. Use it where signals changed in size and offset (actuators, sensors, rewards); it cannot make new
    features, and a ReLU unit that is dead stays dead unless its shift wakes it.
    """

    name: ClassVar[str] = "channel"
    family: ClassVar[str] = "channel"
    by_layer: ClassVar[bool] = True
    steady: ClassVar[bool] = True

    rate: float = 1.0
    """Factor of the learning rate of scales and shifts. Higher: adapts faster, less steadily. Adam moves
    every number by about the learning rate, and a scale is 1 where a weight of a layer of 64 units is about
    0.1: 10 makes up for that."""
    train_base: bool = False
    """Train the layers' own weights as well: more can change, and is forgotten."""
    on: Select = Select("*")
    """Which layers. Fewer: less can adapt. What is no layer there, such as `log_std`, trains on as it is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rate <= 0:
            raise ConfigError(f"channel.rate is {self.rate}; give a factor above 0, or leave the method out")

    def inject(self, net: Net, context: Context) -> None:
        """Put a scale and a shift on every layer and on its twin."""
        for layer in net.layers():
            for module in layer.pair:
                _scale(module)

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Freeze the layers' own weights, and give scales and shifts their rate."""
        pretrained = {id(parameter) for parameter in net.pretrained}
        scales = dict.fromkeys(net.recurrent_parameters(), 1.0 if self.train_base else 0.0)
        for layer in net.layers():
            own = [p for p in layer.module.parameters() if id(p) in pretrained]
            scales |= dict.fromkeys(own, 1.0 if self.train_base else 0.0)
            for module in layer.module.modules():
                if isinstance(module, (Scaled, ScaledAndShifted)):
                    scales |= dict.fromkeys(module.parameters(), self.rate)
        return scales


def _scale(module: Any) -> None:
    weight = module.weight
    scale = Parameter(torch.ones(weight.shape[0], dtype=weight.dtype, device=weight.device))
    reparameterise(module, "weight", Scaled(scale))
    if module.bias is not None:
        reparameterise(module, "bias", ScaledAndShifted(scale, Parameter(torch.zeros_like(scale))))
