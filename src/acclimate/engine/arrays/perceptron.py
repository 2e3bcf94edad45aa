"""A multi-layer perceptron in numpy: its outputs, and the gradient of a loss by its own backward pass.

For layers of the size that agents have, most of the time of a framework goes into calling and recording operations.
Here every array is made once for each batch size and written in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from acclimate.engine.arrays import aligned
from acclimate.engine.arrays.activations import Activation, activation
from acclimate.engine.arrays.products import across, affine, through
from acclimate.nets.surgery import Computing

Array = NDArray[Any]
Take = Callable[[Array, Array, Array], None]

SAME_ROWS = 32
"""Some rows of a minibatch are filled up to a multiple of this. oneDNN compiles and keeps a kernel for each number of
rows that it meets: as many as come up by chance took 100 MiB."""


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


class Room:
    """The arrays of one batch size."""

    def __init__(self, rows: int, sizes: Sequence[int], acts: Sequence[Activation | None], dtype: Any) -> None:
        self.outputs = [aligned.empty((rows, size), dtype) for size in sizes]
        self.gradients = [aligned.empty((rows, size), dtype) for size in sizes]
        self.ones = np.ones(rows, dtype)
        nothing = np.empty((rows, 0), dtype)
        self.kept = [
            aligned.empty((rows, size), dtype) if act is not None and act.keeps else nothing
            for size, act in zip(sizes, acts, strict=True)
        ]


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
        self._rooms: dict[tuple[int, int], Room] = {}

    def room(self, rows: int, slot: int) -> Room:
        """Return the arrays of passes of so many rows in a slot."""
        key = rows, slot
        if key not in self._rooms:
            self._rooms[key] = Room(rows, self._sizes, self.acts, self.weights[0].dtype)
        return self._rooms[key]

    def forward(self, x: Array, slot: int = 0) -> Array:
        """Return the outputs, (rows, out), in an array that the next pass of as many rows in that slot writes again."""
        room = self.room(len(x), slot)
        for place, (act, weight, bias) in enumerate(zip(self.acts, self.weights, self.biases, strict=True)):
            x, done = affine(x, weight, bias, room.outputs[place], None if act is None else act.fused)
            room.outputs[place] = x
            if act is not None and not done:
                act.forward(x, room.kept[place])
        return x

    def backward(
        self,
        x: Array,
        gradient: Array,
        weights: Sequence[Array | Take | None],
        biases: Sequence[Array],
        *,
        slot: int = 0,
        below: bool = False,
    ) -> Array | None:
        """Write the gradient with respect to weights and biases, after `forward` of the same rows in that slot.

        Returns the gradient with respect to `x`, (rows, in), if it is wanted.

        Args:
            x: (rows, in), what `forward` was given.
            gradient: (rows, out), of the loss with respect to the outputs; it is written over.
            weights: where the gradients of the weights go, or what takes a layer's gradient, outputs and inputs for it;
                None for a layer that is not trained.
            biases: where those of the biases go.
            slot: that of the forward pass.
            below: whether the gradient with respect to `x` is wanted.
        """
        room = self.room(len(x), slot)
        lowest = 0 if below else next((i for i, w in enumerate(weights) if w is not None), len(weights))
        for place in range(len(self.weights) - 1, lowest - 1, -1):
            act, into = self.acts[place], weights[place]
            if act is not None:
                act.backward(gradient, room.outputs[place], room.kept[place])
            if into is not None:
                inputs = room.outputs[place - 1] if place else x
                if isinstance(into, np.ndarray):
                    across(gradient, inputs, into)
                else:
                    into(gradient, room.outputs[place], inputs)
                np.dot(room.ones, gradient, out=biases[place])
            if place > lowest:
                gradient = through(gradient, self.weights[place], room.gradients[place - 1])
        return through(gradient, self.weights[0], np.empty_like(x)) if below else None

    def inward(self, gradient: Array, of: int, rows: Any, columns: slice, slot: int = 0) -> Array:
        """Return the gradient with respect to some of the inputs of some rows, after `forward` of all in that slot.

        Args:
            gradient: (chosen rows, out), of the loss with respect to their outputs; it is written over.
            of: how many rows there were in that pass.
            rows: which of them, as an index.
            columns: which of the inputs.
            slot: that of the forward pass.
        """
        room, wanted = self.room(of, slot), len(gradient)
        if isinstance(rows, np.ndarray):
            rows, gradient = _filled(rows, gradient)
        for place in range(len(self.weights) - 1, -1, -1):
            act = self.acts[place]
            if act is not None:
                act.backward(gradient, room.outputs[place][rows], room.kept[place][rows])
            weight = self.weights[place] if place else self.weights[0][:, columns]
            gradient = through(gradient, weight, aligned.empty((len(gradient), weight.shape[1]), gradient.dtype))
        return gradient[:wanted]


def _filled(rows: Array, gradient: Array) -> tuple[Array, Array]:
    """Add rows without a gradient, so that there are few different numbers of them; see `SAME_ROWS`."""
    wanted = len(rows) + -len(rows) % SAME_ROWS
    if wanted == len(rows):
        return rows, gradient
    # Ten times as fast as np.pad, which is called twice for each critic of an update.
    more, nothing = np.zeros(wanted, rows.dtype), np.zeros((wanted, gradient.shape[1]), gradient.dtype)
    more[: len(rows)], nothing[: len(rows)] = rows, gradient
    return more, nothing
