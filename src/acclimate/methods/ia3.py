"""Train one scale for each channel, and nothing else of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.lora import own
from acclimate.nets.closed_form import Array, Closed, RowScale, View
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.nets.surgery import reparameterise
from acclimate.tuning.computed import ComputedInWeights
from acclimate.tuning.context import Context
from acclimate.tuning.method import Scales, Signals


class Rescaled(RowScale):
    """A weight or a bias of a layer whose output channels are scaled."""


class RescaledInputs(Closed):
    """A weight whose input channels are multiplied by a scale."""

    def __init__(self, scale: Parameter) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight, (out, in, ...), with each column multiplied."""
        return weight * self.scale.view(1, -1, *(1,) * (weight.dim() - 2))

    def form(self, stored: Array, value: View, gradient: View) -> ColumnForm:
        """Return the same in arrays."""
        return ColumnForm(value(self.scale).reshape(1, -1, *(1,) * (stored.ndim - 2)), gradient(self.scale))


@dataclass(frozen=True)
class ColumnForm:
    """Columns times a scale."""

    scale: Array
    """(1, in, 1, ...)"""
    at_scale: Array
    """(in,), its gradient."""

    def write(self, stored: Array, out: Array) -> None:
        """Multiply."""
        np.multiply(stored, self.scale, out=out)

    def pull(self, stored: Array, gradient: Array) -> None:
        """Add for each scale the sum over its column of weight times gradient."""
        shape = (*stored.shape[:2], -1)
        self.at_scale[...] += np.einsum("rcx,rcx->c", gradient.reshape(shape), stored.reshape(shape))

    def below(self, gradient: Array) -> Array:
        """Multiply."""
        return gradient * self.scale


@dataclass(frozen=True, kw_only=True)
class IA3(ComputedInWeights):
    """Scale channels, and nothing else: y_c <- l_c * y_c, or x_c <- l_c * x_c for inputs, with l = 1 at the start.

    It is computed in the weights: W_c <- l_c W_c and bias_c <- l_c bias_c for outputs, the columns of W alone for
    inputs. So it costs nothing at inference and folds away exactly. The layers' own weights are frozen.

    Source: Liu et al. 2022, "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning"
    (arXiv:2205.05638), which scales keys, values and the hidden units of transformers. `channel` trains a shift
    beside the scale and starts as the same function; `ia3` has half its numbers and cannot move the offset of a
    unit, so it forgets less. Use it where signals changed in size alone, such as actuator gains, and data are few. It
    loses where an offset or a new feature is wanted; a unit that is always zero stays so.
    """

    name: ClassVar[str] = "ia3"
    family: ClassVar[str] = "channel"
    by_layer: ClassVar[bool] = True
    steady: ClassVar[bool] = True

    rate: float = 1.0
    """Factor of the learning rate of the scales. Higher: adapts faster, less steadily. Adam moves every number by
    about the learning rate, and a scale is 1 where a weight of a layer of 64 units is about 0.1: 10 makes up for
    that."""
    of: Literal["outputs", "inputs"] = "outputs"
    """What of a layer is scaled. `inputs`, of a layer that follows a ReLU, scales what that lets through; of the
    first layer, the observation itself."""
    on: Select = Select("*")
    """Which layers. Fewer: less can adapt. What is no layer there, such as `log_std`, trains on as it is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rate <= 0:
            raise ConfigError(f"ia3.rate is {self.rate}; give a factor above 0, or leave the method out")

    def inject(self, net: Net, context: Context) -> None:
        """Put a scale on every layer and on its twin.

        Raises:
            SurgeryError: if the inputs of a layer in groups are to be scaled.
        """
        for layer in net.layers():
            if self.of == "inputs" and getattr(layer.module, "groups", 1) != 1:
                raise SurgeryError(
                    f"`ia3` cannot scale the inputs of `{net.role}:{layer.path}`, a convolution in groups; "
                    "scale its outputs, or leave it out by `on`"
                )
            for module in layer.pair:
                _scale(module, self.of)

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Freeze the layers' own weights, and give the scales their rate."""
        scales: dict[Parameter, float] = dict.fromkeys(net.recurrent_parameters(), 0.0)
        for layer in net.layers():
            scales |= dict.fromkeys(own(net, layer), 0.0)
            for module in layer.module.modules():
                if isinstance(module, (Rescaled, RescaledInputs)):
                    scales |= dict.fromkeys(module.parameters(), self.rate)
        return scales


def _scale(module: Any, of: str) -> None:
    weight = module.weight
    scale = Parameter(torch.ones(weight.shape[0 if of == "outputs" else 1], dtype=weight.dtype, device=weight.device))
    reparameterise(module, "weight", Rescaled(scale) if of == "outputs" else RescaledInputs(scale))
    if of == "outputs" and module.bias is not None:
        reparameterise(module, "bias", Rescaled(scale))
