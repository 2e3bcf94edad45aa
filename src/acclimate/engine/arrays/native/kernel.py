"""Calls of the kernel: what it is given, and where it writes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from acclimate.engine.arrays.activations import activation
from acclimate.engine.arrays.native.build import place
from acclimate.engine.arrays.perceptron import Perceptron

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

    def __init__(self, table: Array, x: Array | None, gradient: Array | None = None, *held: Array) -> None:
        """Hold the arrays, and others whose addresses the table has."""
        self.double = (gradient if x is None else x).dtype == np.float64  # type: ignore[union-attr]
        self._held = table, x, gradient, held
        self.arguments = _address(table), *(None if array is None else _address(array) for array in (x, gradient))


def _address(array: Array) -> int:
    return array.__array_interface__["data"][0]


class Program:
    """A perceptron as the kernel reads it: where its weights, its gradients and its outputs lie."""

    def __init__(self, net: Perceptron, gradients: Sequence[tuple[Array, Array, Array | None]] = ()) -> None:
        """Hold the arrays, which stay where they are; `fits` has said that the kernel knows the activations.

        Outputs go where the perceptron itself has them, so that numpy can take over after a pass of the kernel.

        Args:
            net: the perceptron.
            gradients: of each layer's weight and bias, and room for the sums over rows of gradient times output, where
                they may be asked for; none if there are only forward passes.
        """
        self._net = net
        self._kinds = [_KINDS[act] for act in net.acts]
        self._gradients = list(gradients)
        self._trained = [bool(gradients)] * len(self._kinds)
        self._tables: dict[Any, Array] = {}

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
        return Pass(self._table(len(x), slot), np.ascontiguousarray(x)), self._net.room(len(x), slot).outputs[-1]

    def backward(
        self, x: Array, gradient: Array, slot: int = 0, sums: Sequence[bool] = (), *, below: bool = False
    ) -> tuple[Pass, Array | None]:
        """Return the pass back after `forward` of the same rows in that slot, and the gradient at the inputs if wanted.

        Args:
            x: (rows, in).
            gradient: (rows, out); it is written over.
            slot: that of the forward pass.
            sums: of which layers the sums are wanted and not the gradient of the weight; of none by default.
            below: whether the gradient at the inputs is wanted.
        """
        table, found = self._table(len(x), slot, tuple(sums)), None
        if below:
            found = np.empty_like(x, order="C")
            table = _towards(table, len(x), found, 0)
        return Pass(table, np.ascontiguousarray(x), np.ascontiguousarray(gradient), *_some(found)), found

    def inward(self, gradient: Array, of: int, rows: Array, columns: slice, slot: int = 0) -> tuple[Pass, Array]:
        """Return the pass back to some of the inputs of some rows alone, and their gradient; see `Perceptron.inward`.

        Args:
            gradient: (chosen rows, out); it is written over.
            of: how many rows the forward pass had.
            rows: which of them, (chosen rows,).
            columns: which of the inputs.
            slot: that of the forward pass.
        """
        first, last, _ = columns.indices(self._net.weights[0].shape[1])
        found, chosen = np.empty((len(rows), last - first), gradient.dtype), np.ascontiguousarray(rows, np.int64)
        table = _towards(self._table(of, slot, None), len(rows), found, first)
        table[_CHOSEN] = _address(chosen)
        return Pass(table, None, np.ascontiguousarray(gradient), chosen, found), found

    def _table(self, rows: int, slot: int, sums: tuple[bool, ...] | None = None) -> Array:
        """Return where everything lies; with `sums` of None no gradient of the weights is wanted."""
        key = rows, slot, sums
        if key not in self._tables:
            net, room = self._net, self._net.room(rows, slot)
            wanted = self._trained if sums is not None else [False] * len(self._kinds)
            lowest = next((i for i, yes in enumerate(wanted) if yes), len(wanted))
            numbers = [rows, net.weights[0].shape[1], len(self._kinds), lowest, 0, 0, 0, 0]
            for i, kind in enumerate(self._kinds):
                trained = self._into(i, bool(sums and sums[i])) if wanted[i] else (0, 0, 0)
                weight, bias = _address(net.weights[i]), _address(net.biases[i])
                output, gradient = _address(room.outputs[i]), _address(room.gradients[i])
                numbers += [len(net.biases[i]), kind, weight, bias, *trained, output, gradient]
            self._tables[key] = np.array(numbers, np.int64)
        return self._tables[key]

    def _into(self, place: int, summed: bool) -> tuple[int, int, int]:
        weight, bias, sums = self._gradients[place]
        if summed and sums is not None:
            return 0, _address(bias), _address(sums)
        return _address(weight), _address(bias), 0


_ROWS, _LOWEST, _CHOSEN, _BELOW = 0, 3, 4, slice(5, 8)


def _towards(table: Array, rows: int, below: Array, column: int) -> Array:
    """Return a table of a pass that goes back to the inputs from a column on."""
    table = table.copy()
    table[_ROWS], table[_LOWEST] = rows, 0
    table[_BELOW] = _address(below), column, below.shape[1]
    return table


def _some(array: Array | None) -> tuple[Array, ...]:
    return () if array is None else (array,)


_loaded: dict[Path, Kernel] = {}


def kernel() -> Kernel | None:
    """Return the kernel if it was built for this CPU, None otherwise."""
    path = place()
    if path not in _loaded and path.exists():
        _loaded[path] = Kernel(path)
    return _loaded.get(path)
