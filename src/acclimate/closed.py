"""Tensors that are computed from stored ones, with a derivative that needs no autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import Parameter

Array = NDArray[Any]
Add = Callable[[Parameter, Array], None]


class Closed(nn.Module):
    """What computes a layer's tensor (`surgery.reparameterise`), and says in arrays what autograd would find.

    Without these two methods a module serves as well; they save the time that autograd takes to record and to replay.
    """

    def forward(self, stored: Tensor) -> Tensor:
        """Return the tensor that the layer works with."""
        raise NotImplementedError

    def write(self, stored: Array, out: Array) -> None:
        """Write what `forward` returns.

        Args:
            stored: as `forward` takes it.
            out: of the same shape.
        """
        raise NotImplementedError

    def pull(self, stored: Array, gradient: Array, add: Add) -> None:
        """Add the gradients of the module's own parameters.

        Args:
            stored: as `write` took it.
            gradient: of the loss with respect to what it wrote.
            add: adds to the gradient of a parameter, in its shape; of one that is frozen it does nothing.
        """
        raise NotImplementedError

    def below(self, gradient: Array) -> Array:
        """Return the gradient with respect to `stored`, which no closed form here depends on.

        Args:
            gradient: as `pull` took it; it is left as it is.
        """
        raise NotImplementedError


def closed(module: nn.Module) -> bool:
    """Tell whether a module's arrays are those of its own `forward`: a subclass that computes otherwise says so anew."""
    return isinstance(module, Closed) and _owner(module, "forward") is _owner(module, "write")


def _owner(module: nn.Module, name: str) -> type:
    return next(kind for kind in type(module).__mro__ if name in vars(kind))


def numbers(parameter: Parameter) -> Array:
    """Return a parameter as an array that shares its memory."""
    return parameter.detach().numpy()
