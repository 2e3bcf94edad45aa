"""A perceptron of an agent, with the weights that its layers work with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from acclimate.engine.arrays.closed_weights import ClosedWeights, is_closed
from acclimate.engine.arrays.flat import Flat
from acclimate.engine.arrays.native.kernel import Kernel
from acclimate.engine.arrays.perceptron import Dense
from acclimate.engine.arrays.span import Span
from acclimate.engine.arrays.weights import ComputedWeights, Weights
from acclimate.nets.surgery import Computing

Array = NDArray[Any]


class Side:
    """One of an agent's perceptrons: an actor, a critic, a head."""

    def __init__(self, layers: tuple[Dense, ...], flat: Flat) -> None:
        """Take the weights from where the layers have them; where the kernel was built, it runs what it can."""
        self._sources = [weights_of(layer.module, flat) for layer in layers]
        self._acts = [layer.act for layer in layers]
        self.whole = self._part(slice(None))
        """All layers."""

    def _part(self, layers: slice) -> Span:
        return Span(self._acts[layers], self._sources[layers])

    @property
    def kernel(self) -> Kernel | None:
        """What runs the passes, None where numpy does."""
        return self.whole.kernel

    def look(self) -> None:
        """See which layers are trained now: no gradient is computed for the others."""
        self.whole.look()

    def compute(self) -> None:
        """Bring the weights up to date."""
        for source in self._sources:
            source.compute()

    def forward(self, x: Array, slot: int = 0) -> Array:
        """Return the outputs, (rows, out), in an array that the next pass of as many rows in that slot writes again."""
        return self.whole.forward(x, slot)

    def backward(self, x: Array, gradient: Array, *, slot: int = 0, below: bool = False) -> Any:
        """Write the gradients of everything that the weights come from, and return that of `x` if it is wanted."""
        return self.whole.backward(x, gradient, slot=slot, below=below)

    def forward_beside(self, other: Side, x: Array, slot: int = 0) -> tuple[Array, Array]:
        """Return the outputs of this perceptron and of another on the same rows."""
        return self.whole.forward_beside(x, other.whole, x, slot)

    def backward_beside(
        self, other: Side, x: Array, gradient: Array, of_other: Array, *, below: bool = False
    ) -> tuple[Any, Any]:
        """Go back through this perceptron and another, after `forward_beside` of the same rows; see `backward`."""
        return self.whole.backward_beside(x, gradient, other.whole, x, of_other, below=below)

    def inward(self, gradient: Array, of: int, rows: Array, columns: slice) -> Array:
        """Return the gradient of some of the inputs of some rows, (chosen rows, chosen inputs); see `Perceptron`."""
        return self.whole.inward(gradient, of, rows, columns)

    def inward_beside(
        self, other: Side, gradients: Sequence[Array], of: int, rows: Sequence[Array], columns: slice
    ) -> tuple[Array, Array]:
        """Return the same of this perceptron and of another, each for its own rows."""
        return self.whole.inward_beside(other.whole, gradients, of, rows, columns)


def weights_of(layer: nn.Module, flat: Flat) -> Weights:
    """Return the weights of a linear layer."""
    if not isinstance(layer, Computing):
        return Weights(layer, flat)  # type: ignore[arg-type]
    return ClosedWeights(layer, flat) if is_closed(layer) else ComputedWeights(layer, flat)


def features(observations: Array, dtype: np.dtype[Any]) -> Array:
    """Return observations as a first layer reads them, (rows, numbers)."""
    return np.ascontiguousarray(observations.reshape(len(observations), -1), dtype=dtype)
