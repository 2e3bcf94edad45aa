"""A perceptron of an agent, with the weights that its layers work with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from acclimate.engine.closed_weights import ClosedWeights, is_closed
from acclimate.engine.flat import Flat
from acclimate.engine.mlp import Dense, Perceptron
from acclimate.engine.native.kernel import Program, kernel
from acclimate.engine.weights import ComputedWeights, Weights
from acclimate.surgery import Computing

Array = NDArray[Any]


class Side:
    """One of an agent's perceptrons: an actor, a critic, a head."""

    def __init__(self, layers: tuple[Dense, ...], flat: Flat) -> None:
        """Take the weights from where the layers have them; where the kernel was built, it runs what it can."""
        self._sources = [weights_of(layer.module, flat) for layer in layers]
        self._acts = [layer.act for layer in layers]
        weights, biases = [s.weight for s in self._sources], [s.bias for s in self._sources]
        self._net = net = Perceptron(self._acts, weights, biases)
        self._biases = [s.bias_gradient for s in self._sources]
        self.kernel = kernel() if Program.fits(net) else None
        """What runs the passes, None where numpy does."""
        gradients = [(s.weight_gradient, s.bias_gradient, s.sums) for s in self._sources]
        self._program = Program(net, gradients) if self.kernel else None
        self.look()

    def look(self) -> None:
        """See which layers are trained now: no gradient is computed for the others."""
        self._weights = [source.into(act) for source, act in zip(self._sources, self._acts, strict=True)]
        if self._program is not None:
            self._program.look([into is not None for into in self._weights])

    def compute(self) -> None:
        """Bring the weights up to date."""
        for source in self._sources:
            source.compute()

    def forward(self, x: Array, slot: int = 0) -> Array:
        """Return the outputs, (rows, out), in an array that the next pass of as many rows in that slot writes again."""
        if self.kernel is None or self._program is None:
            return self._net.forward(x, slot)
        run, out = self._program.forward(x, slot)
        self.kernel.run(run)
        return out

    def backward(self, x: Array, gradient: Array, *, slot: int = 0, below: bool = False) -> Any:
        """Write the gradients of everything that the weights come from, and return that of `x` if it is wanted."""
        if self.kernel is None or self._program is None:
            found = self._net.backward(x, gradient, self._weights, self._biases, slot=slot, below=below)
        else:
            run, found = self._program.backward(x, gradient, slot, self._summed(), below=below)
            self.kernel.run(run)
        self._pull()
        return found

    def _summed(self) -> list[bool]:
        """Return of which layers only sums over rows are wanted in this pass."""
        return [callable(into) and source.summed() for source, into in zip(self._sources, self._weights, strict=True)]

    def _pull(self) -> None:
        for source, trained in zip(self._sources, self._weights, strict=True):
            if trained is not None:
                source.pull()

    def forward_beside(self, other: Side, x: Array, slot: int = 0) -> tuple[Array, Array]:
        """Return the outputs of this perceptron and of another on the same rows."""
        if self.kernel is None or self._program is None or other._program is None:
            return self.forward(x, slot), other.forward(x, slot)
        (one, out), (two, more) = self._program.forward(x, slot), other._program.forward(x, slot)
        self.kernel.run(one, two)
        return out, more

    def backward_beside(
        self, other: Side, x: Array, gradient: Array, of_other: Array, *, below: bool = False
    ) -> tuple[Any, Any]:
        """Go back through this perceptron and another, after `forward_beside` of the same rows; see `backward`."""
        if self.kernel is None or self._program is None or other._program is None:
            return self.backward(x, gradient, below=below), other.backward(x, of_other, below=below)
        one, found = self._program.backward(x, gradient, 0, self._summed(), below=below)
        two, more = other._program.backward(x, of_other, 0, other._summed(), below=below)
        self.kernel.run(one, two)
        self._pull()
        other._pull()
        return found, more

    def inward(self, gradient: Array, of: int, rows: Array, columns: slice) -> Array:
        """Return the gradient of some of the inputs of some rows, (chosen rows, chosen inputs); see `Perceptron`."""
        if self.kernel is None or self._program is None:
            return self._net.inward(gradient, of, rows, columns)
        run, found = self._program.inward(gradient, of, rows, columns)
        self.kernel.run(run)
        return found

    def inward_beside(
        self, other: Side, gradients: Sequence[Array], of: int, rows: Sequence[Array], columns: slice
    ) -> tuple[Array, Array]:
        """Return the same of this perceptron and of another, each for its own rows."""
        if self.kernel is None or self._program is None or other._program is None:
            sides = zip((self, other), gradients, rows, strict=True)
            one, two = (side.inward(gradient, of, chosen, columns) for side, gradient, chosen in sides)
            return one, two
        (first, found), (second, more) = (
            program.inward(gradient, of, chosen, columns)
            for program, gradient, chosen in zip((self._program, other._program), gradients, rows, strict=True)
        )
        self.kernel.run(first, second)
        return found, more


def weights_of(layer: nn.Module, flat: Flat) -> Weights:
    """Return the weights of a linear layer."""
    if not isinstance(layer, Computing):
        return Weights(layer, flat)  # type: ignore[arg-type]
    return ClosedWeights(layer, flat) if is_closed(layer) else ComputedWeights(layer, flat)


def features(observations: Array, dtype: np.dtype[Any]) -> Array:
    """Return observations as a first layer reads them, (rows, numbers)."""
    return np.ascontiguousarray(observations.reshape(len(observations), -1), dtype=dtype)
