"""A perceptron of an agent, with the weights that its layers work with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from acclimate.engine.closed_weights import ClosedWeights, is_closed
from acclimate.engine.flat import Flat
from acclimate.engine.mlp import Dense, Perceptron
from acclimate.engine.weights import ComputedWeights, Weights
from acclimate.surgery import Computing

Array = NDArray[Any]


class Side:
    """One of an agent's perceptrons: an actor, a critic, a head."""

    def __init__(self, layers: tuple[Dense, ...], flat: Flat) -> None:
        self._sources = [weights_of(layer.module, flat) for layer in layers]
        self._acts = [layer.act for layer in layers]
        self._net = Perceptron(self._acts, [s.weight for s in self._sources], [s.bias for s in self._sources])
        self._biases = [s.bias_gradient for s in self._sources]
        self.look()

    def look(self) -> None:
        """See which layers are trained now: no gradient is computed for the others."""
        self._weights = [source.into(act) for source, act in zip(self._sources, self._acts, strict=True)]

    def compute(self) -> None:
        """Bring the weights up to date."""
        for source in self._sources:
            source.compute()

    def forward(self, x: Array, slot: int = 0) -> Array:
        """Return the outputs, (rows, out), in an array that the next pass of as many rows in that slot writes again."""
        return self._net.forward(x, slot)

    def backward(self, x: Array, gradient: Array, *, slot: int = 0, below: bool = False) -> Any:
        """Write the gradients of everything that the weights come from, and return that of `x` if it is wanted."""
        found = self._net.backward(x, gradient, self._weights, self._biases, slot=slot, below=below)
        for source, trained in zip(self._sources, self._weights, strict=True):
            if trained is not None:
                source.pull()
        return found

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
