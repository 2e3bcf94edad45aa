"""Calls of the kernel: what it is given, and where it writes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from acclimate.engine.activations import activation
from acclimate.engine.mlp import Perceptron, Room
from acclimate.engine.native.build import place

Array = NDArray[Any]

_KINDS = {None: 0, activation(nn.Identity()): 0, activation(nn.Tanh()): 1, activation(nn.ReLU()): 2}


class Kernel:
    """The compiled functions."""

    def __init__(self, path: Path) -> None:
        """Load them.

        Raises:
            OSError: if the file is no library.
        """
        # The library has one job at a time: a call that keeps Python's lock cannot meet another thread's.
        self._passes = ctypes.PyDLL(str(path)).passes
        self._passes.restype = None
        self._passes.argtypes = [ctypes.c_void_p] * 6 + [ctypes.c_int] * 2
        self.threads = 1
        """How many it may use."""

    def run(self, one: Pass, other: Pass | None = None) -> None:
        """Run a pass, or two at once; neither reads what the other writes."""
        second = (None, None, None) if other is None else other.arguments
        self._passes(*one.arguments, *second, one.double, self.threads)


class Pass:
    """A forward pass, or with a gradient a backward pass, of one perceptron."""

    __slots__ = ("_held", "arguments", "double")

    def __init__(self, table: Array, x: Array, gradient: Array | None = None) -> None:
        self.double = x.dtype == np.float64
        self._held = x, gradient
        self.arguments = _address(table), _address(x), None if gradient is None else _address(gradient)


def _address(array: Array) -> int:
    return array.__array_interface__["data"][0]


class Program:
    """A perceptron as the kernel reads it: where its weights, its gradients and its outputs lie."""

    def __init__(self, net: Perceptron, weight_gradients: Sequence[Array], bias_gradients: Sequence[Array]) -> None:
        """Hold the arrays, which stay where they are; `fits` has said that the kernel knows the activations.

        Outputs go where the perceptron itself has them, so that numpy can take over after a pass of the kernel.
        """
        self._net = net
        self._kinds = [_KINDS[act] for act in net.acts]
        self._gradients = list(zip(weight_gradients, bias_gradients, strict=True))
        self._trained = [True] * len(self._kinds)
        self._tables: dict[tuple[int, int], tuple[Array, Room]] = {}

    @staticmethod
    def fits(net: Perceptron) -> bool:
        """Tell whether the kernel can run a perceptron."""
        return all(act in _KINDS for act in net.acts) and all(w.flags.c_contiguous for w in net.weights)

    def look(self, trained: Sequence[bool]) -> None:
        """Say which layers are trained now: no gradient is computed for the others."""
        if list(trained) != self._trained:
            self._trained, self._tables = list(trained), {}

    def forward(self, x: Array, slot: int = 0) -> tuple[Pass, Array]:
        """Return the pass of some rows, and the array that its outputs will be in."""
        table, room = self._table(len(x), slot)
        return Pass(table, np.ascontiguousarray(x)), room.outputs[-1]

    def backward(self, x: Array, gradient: Array, slot: int = 0) -> Pass:
        """Return the pass back after `forward` of the same rows in that slot; the gradient is written over."""
        return Pass(self._table(len(x), slot)[0], np.ascontiguousarray(x), np.ascontiguousarray(gradient))

    def _table(self, rows: int, slot: int) -> tuple[Array, Room]:
        key = rows, slot
        if key not in self._tables:
            net, room = self._net, self._net.room(rows, slot)
            lowest = next((i for i, yes in enumerate(self._trained) if yes), len(self._trained))
            numbers = [rows, net.weights[0].shape[1], len(self._kinds), lowest]
            for i, (weight_gradient, bias_gradient) in enumerate(self._gradients):
                trained = (_address(weight_gradient), _address(bias_gradient)) if self._trained[i] else (0, 0)
                places = (net.weights[i], net.biases[i], room.outputs[i], room.gradients[i])
                weight, bias, output, gradient = map(_address, places)
                numbers += [len(net.biases[i]), self._kinds[i], weight, bias, *trained, output, gradient]
            self._tables[key] = np.array(numbers, np.int64), room
        return self._tables[key]


_loaded: dict[Path, Kernel] = {}


def kernel() -> Kernel | None:
    """Return the kernel if it was built for this CPU, None otherwise."""
    path = place()
    if path not in _loaded and path.exists():
        _loaded[path] = Kernel(path)
    return _loaded.get(path)
