"""What actor and critic read of the steps of a rollout: observations, or what frozen first layers put out of them.

Every epoch reads the same steps again. What frozen layers put out is therefore computed once for each rollout; where
all of a network is frozen, as the actor is while a critic warms up, this is all that it puts out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acclimate.engine.arrays.split import Split
from acclimate.engine.learning.recall import Watch

Array = NDArray[Any]

LIMIT = 64 << 20
"""Bytes that a rollout's rows may take for each of actor and critic; of layers that put out more, fewer are kept."""
PIECE = 256
"""Rows that are computed at once."""
WORTH = 16
"""How many multiplications each number has to save; rows that lie in order are looked up for less than those of a
replay buffer."""


@dataclass(frozen=True)
class Inputs:
    """Rows for each of the two, (rows, numbers)."""

    actor: Array
    critic: Array
    state: Any
    """Of the frozen layers' weights."""

    def __getitem__(self, place: slice) -> Inputs:
        return Inputs(self.actor[place], self.critic[place], self.state)


class Kept:
    """Keeps what the frozen first layers of actor and critic put out."""

    def __init__(self, actor: Split, critic: Split) -> None:
        self._sides = actor, critic
        self._watch = Watch(())
        for side in self._sides:
            side.worth = WORTH

    def look(self, rows: int, dtype: np.dtype[Any]) -> None:
        """See which layers are frozen now.

        Args:
            rows: of a rollout.
            dtype: of their numbers.
        """
        for side in self._sides:
            # An epoch reads a copy in its own order.
            side.most = LIMIT // (2 * rows * dtype.itemsize)
            side.look()
        frozen = [parameter for side in self._sides for parameter in side.frozen]
        if not self._watch.watches(frozen):
            self._watch = Watch(frozen)

    def bytes(self, rows: int, dtype: np.dtype[Any]) -> int:
        """Return how much is kept of a rollout."""
        return sum(2 * rows * side.units * dtype.itemsize for side in self._sides if side.cut)

    def holds(self, inputs: Inputs) -> bool:
        """Tell whether nobody has written the weights of frozen layers since these were computed."""
        return inputs.state == self._watch.state

    def of(self, x: Array) -> Inputs:
        """Return what the sides read of some rows, whose weights are up to date.

        Args:
            x: (rows, numbers), observations as a first layer reads them.
        """
        actor, critic = (_lower(side, x) if side.cut else x for side in self._sides)
        return Inputs(actor, critic, self._watch.state)


def _lower(side: Split, x: Array) -> Array:
    found = np.empty((len(x), side.units), x.dtype)
    for begin in range(0, len(x), PIECE):
        place = slice(begin, begin + PIECE)
        found[place] = side.lower(x[place])
    return found
