"""A perceptron of an agent, with the weights that its layers work with."""

from __future__ import annotations

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
        self._program = Program(net, [s.weight_gradient for s in self._sources], self._biases) if self.kernel else None
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
        found = None
        if self.kernel is None or self._program is None or below:
            found = self._net.backward(x, gradient, self._weights, self._biases, slot=slot, below=below)
        else:
            self.kernel.run(self._program.backward(x, gradient, slot))
        self._pull()
        return found

    def _pull(self) -> None:
        for source, trained in zip(self._sources, self._weights, strict=True):
            if trained is not None:
                source.pull()

    def forward_beside(self, other: Side, x: Array) -> tuple[Array, Array]:
        """Return the outputs of this perceptron and of another on the same rows."""
        if self.kernel is None or self._program is None or other._program is None:
            return self.forward(x), other.forward(x)
        (one, out), (two, more) = self._program.forward(x), other._program.forward(x)
        self.kernel.run(one, two)
        return out, more

    def backward_beside(self, other: Side, x: Array, gradient: Array, of_other: Array) -> None:
        """Go back through this perceptron and another, after `forward_beside` of the same rows."""
        if self.kernel is None or self._program is None or other._program is None:
            self.backward(x, gradient)
            other.backward(x, of_other)
            return
        self.kernel.run(self._program.backward(x, gradient), other._program.backward(x, of_other))
        self._pull()
        other._pull()

    def inward(self, gradient: Array, of: int, rows: Any, columns: slice) -> Array:
        """Return the gradient of some of the inputs of some rows, (chosen rows, chosen inputs); see `Perceptron`."""
        return self._net.inward(gradient, of, rows, columns)


def weights_of(layer: nn.Module, flat: Flat) -> Weights:
    """Return the weights of a linear layer."""
    if not isinstance(layer, Computing):
        return Weights(layer, flat)  # type: ignore[arg-type]
    return ClosedWeights(layer, flat) if is_closed(layer) else ComputedWeights(layer, flat)


def features(observations: Array, dtype: np.dtype[Any]) -> Array:
    """Return observations as a first layer reads them, (rows, numbers)."""
    return np.ascontiguousarray(observations.reshape(len(observations), -1), dtype=dtype)
