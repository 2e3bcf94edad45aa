"""Tensors that are computed from stored ones, with a derivative that needs no autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import Parameter

Array = NDArray[Any]
View = Callable[[Parameter], Array]


class Form(Protocol):
    """What a module computes, and what autograd would find of it, in arrays."""

    def write(self, stored: Array, out: Array) -> None:
        """Write what the module's `forward` returns of `stored` into an array of the same shape."""

    def pull(self, stored: Array, gradient: Array) -> None:
        """Add the gradients of the module's own parameters, given that of the loss at what `write` wrote."""

    def below(self, gradient: Array) -> Array:
        """Return the gradient at `stored`, given the same one, which is left as it is."""
        ...


class Closed(nn.Module):
    """What computes a layer's tensor (`surgery.reparameterise`), and has a closed form in arrays.

    A module without one serves as well; it costs the time that autograd takes to record and to replay.
    """

    def forward(self, stored: Tensor) -> Tensor:
        """Return the tensor that the layer works with."""
        raise NotImplementedError

    def form(self, stored: Array, value: View, gradient: View) -> Form:
        """Return the closed form.

        Args:
            stored: an array of the shape that it will be given.
            value: returns the numbers of a parameter, as an array that follows them.
            gradient: returns where the gradient of a parameter is added up, in its shape.
        """
        raise NotImplementedError


def closed(module: nn.Module) -> bool:
    """Tell whether a module has the closed form of its own `forward`: what a subclass inherits may be of another."""
    return isinstance(module, Closed) and _owner(module, "forward") is _owner(module, "form")


def _owner(module: nn.Module, name: str) -> type:
    return next(kind for kind in type(module).__mro__ if name in vars(kind))


class RowScale(Closed):
    """A weight or a bias whose output channels are multiplied by a scale."""

    def __init__(self, scale: Parameter) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, tensor: Tensor) -> Tensor:
        """Return the weight, (out, ...), or the bias, (out,), with each row multiplied."""
        return tensor * self.scale.view(-1, *(1,) * (tensor.dim() - 1))

    def form(self, stored: Array, value: View, gradient: View) -> RowForm:
        """Return the same in arrays."""
        return RowForm(value(self.scale).reshape(-1, *(1,) * (stored.ndim - 1)), gradient(self.scale))


@dataclass(frozen=True)
class RowForm:
    """Rows times a scale."""

    scale: Array
    """(out, 1, ...)"""
    at_scale: Array
    """(out,), its gradient."""

    def write(self, stored: Array, out: Array) -> None:
        """Multiply."""
        np.multiply(stored, self.scale, out=out)

    def pull(self, stored: Array, gradient: Array) -> None:
        """Add for each scale the sum over its row of tensor times gradient."""
        rows = len(stored)
        self.at_scale[...] += np.einsum("rc,rc->r", gradient.reshape(rows, -1), stored.reshape(rows, -1))

    def below(self, gradient: Array) -> Array:
        """Multiply."""
        return gradient * self.scale
