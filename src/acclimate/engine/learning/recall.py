"""What fixed layers put out of the steps in a replay buffer, computed once for each step and kept beside the buffer.

An update draws the same steps again and again: with one update of 128 rows a step, each is drawn 128 times. Layers that
nobody trains put out the same each time, as long as nobody writes their weights or the step.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]

LIMIT = 256 << 20
"""Bytes that an agent's caches may take together. In a smaller cache steps share their places, and some are computed
again."""
PATIENCE = 4
"""Of how many updates in a row the weights must have stayed the same before anything is kept."""
STEP = 16
"""Rows that are missing are computed by multiples of this where whoever computes keeps arrays for each number."""
EVERY = 32
"""How many updates lie between two comparisons of all weights with those that the kept rows are of."""


class Cache:
    """Rows by the place of their step in the buffer."""

    def __init__(self, width: int, dtype: Any, places: int, limit: int) -> None:
        """Make room, for fewer steps than the buffer has places if the limit says so.

        Args:
            width: numbers of a row.
            dtype: of these.
            places: of the buffer.
            limit: in bytes.
        """
        self._size = max(min(places, limit // row_bytes(width, dtype)), 1)
        self._all = self._size == places
        self.width = width
        self._rows = np.empty((self._size, width), dtype)
        self._holds = np.full(self._size, -1, np.int32)

    @property
    def bytes(self) -> int:
        """What it takes when it is full."""
        return self._rows.nbytes + self._holds.nbytes

    def clear(self) -> None:
        """Forget all."""
        self._holds.fill(-1)

    def forget(self, places: Array) -> None:
        """Forget steps that were written over."""
        self._holds[places if self._all else places % self._size] = -1

    def get(self, places: Array, compute: Callable[[Array], Array], step: int) -> Array:
        """Return the rows of some steps, (steps, width).

        Args:
            places: of the steps.
            compute: returns the rows of a choice of them, by their index.
            step: how many rows are computed is a multiple of this.
        """
        slots = places if self._all else places % self._size
        missing = np.flatnonzero(self._holds[slots] != places)
        rows = self._rows.take(slots, axis=0)
        if len(missing):
            more = min(-(-len(missing) // step) * step, len(places))
            rows[missing] = compute(np.resize(missing, more))[: len(missing)]
            self._rows[slots[missing]], self._holds[slots[missing]] = rows[missing], places[missing]
        return rows


def row_bytes(width: int, dtype: Any) -> int:
    """Return what a row takes with the note of whose it is."""
    return width * np.dtype(dtype).itemsize + np.dtype(np.int32).itemsize


class Watch:
    """Tells whether anybody has written some tensors."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._tensors = tuple(tensors)
        self._copies: list[Array] = []
        self._looks = self._changes = 0

    def watches(self, tensors: Sequence[Tensor]) -> bool:
        """Tell whether these are the tensors."""
        return len(tensors) == len(self._tensors) and all(map(operator.is_, tensors, self._tensors))

    @property
    def state(self) -> Any:
        """Something that is another one after they were written.

        Writing to `.data`, or past torch, is seen at the next comparison of all numbers.
        """
        if self._looks % EVERY == 0:
            arrays = [tensor.detach().numpy() for tensor in self._tensors]
            if not self._copies or not all(map(np.array_equal, arrays, self._copies)):
                self._changes += 1
                self._copies = [array.copy() for array in arrays]
        self._looks += 1
        return self._changes, [t._version for t in self._tensors]


class Recall:
    """A pass through fixed layers whose outputs are kept."""

    def __init__(
        self, run: Callable[[Array], Array], state: Callable[[], Any], dtype: np.dtype[Any], step: int = STEP
    ) -> None:
        """Keep nothing yet.

        Args:
            run: makes rows, (rows, width), of what the first layer reads.
            state: returns the width, and whatever is another one as soon as `run` makes other rows; None where there
                are no layers to run.
            dtype: of the rows.
            step: how many rows are run is a multiple of this.
        """
        self._run, self._state, self._dtype, self._step = run, state, dtype, step
        self._known: Any = None
        self._steady = 0
        self._cache: Cache | None = None
        self.limit, self.places = LIMIT, 0

    @property
    def on(self) -> bool:
        """Whether there are layers to run."""
        return self._known is not None

    @property
    def due(self) -> bool:
        """Whether there are layers to run now, before an update has begun."""
        return self._state() is not None

    def room(self, places: int, limit: int) -> int:
        """Return how many bytes the rows of so many steps take, or the limit where that is less."""
        state = self._state()
        return 0 if state is None else min(places * row_bytes(state[0], self._dtype), limit)

    def begin(self) -> None:
        """Begin an update."""
        known = self._state()
        if known == self._known:
            self._steady += 1
            return
        self._known, self._steady = known, 0
        if self._cache is not None:
            self._cache.clear()
            self._cache = self._cache if known is not None and self._cache.width == known[0] else None

    def forget(self, places: Array | None) -> None:
        """Forget steps that were written over, or all of them."""
        if self._cache is not None:
            self._cache.clear() if places is None else self._cache.forget(places)

    def __call__(self, places: Array | None, x: Array) -> Array:
        """Return the rows of a minibatch.

        Args:
            places: of its steps in the buffer; None if they have none.
            x: (rows, numbers), as the first layer reads them.
        """
        if places is None or self._known is None or self._steady < PATIENCE:
            return self._run(x)
        if self._cache is None:
            self._cache = Cache(self._known[0], self._dtype, self.places, self.limit)
        return self._cache.get(places, lambda chosen: self._run(x[chosen]), self._step)
