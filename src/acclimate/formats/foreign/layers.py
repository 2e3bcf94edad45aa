"""The layers of a network from elsewhere, as arrays: no framework's classes, nothing that runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Dense:
    """units = activation(weight @ input + bias)."""

    weight: Array
    """(units, inputs)."""
    bias: Array
    """(units,)."""
    activation: str = ""
    """Our name of it (`tanh`, `relu`); empty for none."""

    @property
    def units(self) -> int:
        """How many there are."""
        return len(self.weight)


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution of images with their channels first, without padding."""

    weight: Array
    """(filters, channels, height, width)."""
    bias: Array
    """(filters,)."""
    stride: tuple[int, int]
    activation: str = ""

    @property
    def units(self) -> int:
        """How many filters there are."""
        return len(self.weight)


Layer = Dense | Conv
Stack = tuple[Layer, ...]
"""Layers one after another; an image is flattened, channels first, where the first dense one follows."""


def hidden(stack: Stack) -> tuple[Dense, ...]:
    """Return the dense layers before the last one."""
    return tuple(layer for layer in stack[:-1] if isinstance(layer, Dense))


def convolutions(stack: Stack) -> tuple[Conv, ...]:
    """Return the convolutions."""
    return tuple(layer for layer in stack if isinstance(layer, Conv))


def inputs(stack: Stack) -> int:
    """Return how many numbers, or channels, the first layer takes."""
    return stack[0].weight.shape[1]


def named(prefix: str, stack: Stack) -> dict[str, Array]:
    """Return weights and biases as a torch `Sequential` names them, with an activation after each layer.

    Args:
        prefix: before the number of a layer, with its dot.
        stack: the layers.
    """
    found: dict[str, Array] = {}
    for place, layer in enumerate(stack):
        found[f"{prefix}{2 * place}.weight"], found[f"{prefix}{2 * place}.bias"] = layer.weight, layer.bias
    return found


def channels_first(layer: Dense, image: tuple[int, int, int]) -> Dense:
    """Return a dense layer that reads an image flattened channels first, where it read them last.

    Args:
        layer: reads (height * width * channels) numbers.
        image: height, width and channels.
    """
    turned = layer.weight.reshape(layer.units, *image).transpose(0, 3, 1, 2)
    return replace(layer, weight=np.ascontiguousarray(turned.reshape(layer.units, -1)))


def channels_last(weight: Array, image: tuple[int, int, int]) -> Array:
    """Return the weight of a dense layer as it reads an image flattened channels last: what `channels_first` turned.

    Args:
        weight: (units, channels * height * width).
        image: height, width and channels.
    """
    height, width, channels = image
    return weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(len(weight), -1)
