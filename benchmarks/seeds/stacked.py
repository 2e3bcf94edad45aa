"""K perceptrons of one shape as one batched computation, with weights (K, out, in): by numpy, or by torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.engine.arrays.activations import Activation

Array = NDArray[Any]


class Stacked:
    """Runs all of them forward and back by `np.matmul`, in arrays that are made once."""

    def __init__(self, acts: Sequence[Activation | None], weights: Sequence[Array], biases: Sequence[Array]) -> None:
        """Hold the arrays.

        Args:
            acts: of each layer.
            weights: (K, out, in) each.
            biases: (K, out) each.
        """
        self.acts, self.weights, self.biases = tuple(acts), tuple(weights), tuple(biases)
        self.weight_gradients = [np.empty_like(weight) for weight in weights]
        self.bias_gradients = [np.empty_like(bias) for bias in biases]
        self._rooms: dict[int, list[tuple[Array, Array]]] = {}

    def _room(self, rows: int) -> list[tuple[Array, Array]]:
        if rows not in self._rooms:
            shapes = [(len(bias), rows, bias.shape[1]) for bias in self.biases]
            dtype = self.biases[0].dtype
            self._rooms[rows] = [(np.empty(shape, dtype), np.empty(shape, dtype)) for shape in shapes]
        return self._rooms[rows]

    def forward(self, x: Array) -> Array:
        """Return the outputs, (K, rows, out), of (K, rows, in)."""
        for (out, kept), act, weight, bias in zip(
            self._room(x.shape[1]), self.acts, self.weights, self.biases, strict=True
        ):
            np.matmul(x, weight.transpose(0, 2, 1), out=out)
            out += bias[:, None]
            if act is not None:
                act.forward(out, kept)
            x = out
        return x

    def backward(self, x: Array, gradient: Array) -> None:
        """Write the gradients, after `forward` of the same rows; the gradient of the outputs is written over."""
        room = self._room(x.shape[1])
        ones = np.ones((1, x.shape[1]), x.dtype)
        for place in range(len(self.weights) - 1, -1, -1):
            act, (out, kept) = self.acts[place], room[place]
            if act is not None:
                act.backward(gradient, out, kept)
            below = room[place - 1][0] if place else x
            np.matmul(gradient.transpose(0, 2, 1), below, out=self.weight_gradients[place])
            np.matmul(ones, gradient, out=self.bias_gradients[place][:, None])
            if place:
                gradient = np.matmul(gradient, self.weights[place])


class StackedTorch:
    """The same by `torch.bmm`, without autograd, on the arrays of the other."""

    def __init__(self, other: Stacked, names: Sequence[str | None]) -> None:
        """Share its weights.

        Args:
            other: has the weights.
            names: `tanh`, `relu` or None, of each layer's activation.
        """
        self._names = tuple(names)
        self._weights = [torch.from_numpy(weight) for weight in other.weights]
        self._biases = [torch.from_numpy(bias)[:, None] for bias in other.biases]
        self.weight_gradients = [torch.empty_like(weight) for weight in self._weights]
        self.bias_gradients = [torch.empty_like(bias) for bias in self._biases]
        self._outputs: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs, (K, rows, out), of (K, rows, in)."""
        if not self._outputs:
            self._outputs = [x.new_empty(len(x), x.shape[1], bias.shape[2]) for bias in self._biases]
        for out, name, weight, bias in zip(self._outputs, self._names, self._weights, self._biases, strict=True):
            torch.baddbmm(bias, x, weight.mT, out=out)
            if name is not None:
                (torch.tanh_ if name == "tanh" else torch.relu_)(out)
            x = out
        return x

    def backward(self, x: torch.Tensor, gradient: torch.Tensor) -> None:
        """Write the gradients, after `forward` of the same rows."""
        for place in range(len(self._weights) - 1, -1, -1):
            name, out = self._names[place], self._outputs[place]
            if name == "tanh":
                gradient = torch.ops.aten.tanh_backward(gradient, out)
            elif name == "relu":
                gradient = torch.ops.aten.threshold_backward(gradient, out, 0)
            below = self._outputs[place - 1] if place else x
            torch.bmm(gradient.mT, below, out=self.weight_gradients[place])
            torch.sum(gradient, 1, keepdim=True, out=self.bias_gradients[place])
            if place:
                gradient = torch.bmm(gradient, self._weights[place])
