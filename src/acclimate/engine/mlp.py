"""A multi-layer perceptron in numpy: its outputs, and the gradient of a loss by its own backward pass.

For layers of the size that agents have, most of the time of a framework goes into calling and recording operations.
Here every array is made once for each batch size and written in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from acclimate.engine.activations import Activation, activation
from acclimate.surgery import Computing

Array = NDArray[Any]


@dataclass(frozen=True)
class Dense:
    """A linear layer and the activation that follows it."""

    module: nn.Module
    act: Activation | None


def dense_layers(modules: Sequence[nn.Module]) -> tuple[Dense, ...] | str:
    """Return linear layers with their activations, or why the modules are not a perceptron of known parts."""
    found: list[Dense] = []
    for module in modules:
        stock = module.stock if isinstance(module, Computing) else type(module)
        if stock is nn.Linear:
            found.append(Dense(module, None))
            continue
        act = activation(module)
        if act is None or not found or found[-1].act is not None:
            return f"a {type(module).__name__} is none of its layers"
        found[-1] = Dense(found[-1].module, act)
    return tuple(found) if found else "it has no layer"


class _Room:
    """The arrays of one batch size."""

    def __init__(self, rows: int, sizes: Sequence[int], dtype: Any) -> None:
        self.outputs = [np.empty((rows, size), dtype) for size in sizes]
        self.gradients = [np.empty((rows, size), dtype) for size in sizes]
        self.kept = [np.empty((rows, size), dtype) for size in sizes]


class Perceptron:
    """Runs layers whose weights and biases are given as arrays, and writes the gradients into given arrays."""

    def __init__(self, acts: Sequence[Activation | None], weights: Sequence[Array], biases: Sequence[Array]) -> None:
        """Hold the arrays; they are read anew at each pass.

        Args:
            acts: of each layer.
            weights: (out, in) each.
            biases: (out,) each.
        """
        self.acts, self.weights, self.biases = tuple(acts), tuple(weights), tuple(biases)
        self._sizes = [len(bias) for bias in biases]
        self._rooms: dict[int, _Room] = {}

    def room(self, rows: int) -> _Room:
        """Return the arrays for as many rows."""
        if rows not in self._rooms:
            self._rooms[rows] = _Room(rows, self._sizes, self.weights[0].dtype)
        return self._rooms[rows]

    def forward(self, x: Array) -> Array:
        """Return the outputs, (rows, out), in an array that the next pass of as many rows writes again."""
        room = self.room(len(x))
        for place, (act, weight, bias) in enumerate(zip(self.acts, self.weights, self.biases, strict=True)):
            out = room.outputs[place]
            np.matmul(x, weight.T, out=out)
            out += bias
            if act is not None:
                act.forward(out, room.kept[place])
            x = out
        return x

    def backward(self, x: Array, gradient: Array, weights: Sequence[Array], biases: Sequence[Array]) -> None:
        """Write the gradient with respect to weights and biases, right after `forward` of the same rows.

        Args:
            x: (rows, in), what `forward` was given.
            gradient: (rows, out), of the loss with respect to the outputs.
            weights: where the gradients of the weights go.
            biases: where those of the biases go.
        """
        room = self.room(len(x))
        for place in range(len(self.weights) - 1, -1, -1):
            act = self.acts[place]
            if act is not None:
                act.backward(gradient, room.outputs[place], room.kept[place])
            below = room.outputs[place - 1] if place else x
            np.matmul(gradient.T, below, out=weights[place])
            np.add.reduce(gradient, axis=0, out=biases[place])
            if place:
                np.matmul(gradient, self.weights[place], out=room.gradients[place - 1])
                gradient = room.gradients[place - 1]
