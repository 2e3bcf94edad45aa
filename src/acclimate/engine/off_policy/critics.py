"""The critics of SAC, TD3 and DDPG: perceptrons that read observations and actions side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acclimate.engine.arrays.flat import Flat
from acclimate.engine.arrays.perceptron import dense_layers
from acclimate.engine.arrays.split import Split

Array = NDArray[Any]


class Critics:
    """All critics of an agent, or their targets."""

    def __init__(self, critic: Any, flat: Flat) -> None:
        """Take SB3's critic apart; `refusal` has said that it can be."""
        self.sides = [Split(dense_layers(list(net)), flat) for net in critic.q_networks]  # type: ignore[arg-type]
        self._dtype = flat.values.dtype

    def look(self) -> None:
        """See which layers are trained now."""
        for side in self.sides:
            side.look()

    def compute(self) -> None:
        """Bring the weights up to date."""
        for side in self.sides:
            side.compute()

    def read(self, observations: Array, actions: Array) -> Array:
        """Return what the first layers read, (rows, numbers)."""
        return np.concatenate([observations, actions.astype(self._dtype, copy=False)], axis=1)

    def forward(self, x: Array, only: int | None = None) -> Array:
        """Return values, (rows, critics).

        Args:
            x: what `read` returned.
            only: how many of the critics, from the first on; all by default.
        """
        sides = self.sides[:only]
        if len(sides) == 2:
            return np.concatenate(sides[0].forward_beside(sides[1], x), axis=1)
        return np.concatenate([side.forward(x) for side in sides], axis=1)

    def _whole_pair(self) -> bool:
        """Tell whether there are two critics without frozen first layers, which one call can run together."""
        return len(self.sides) == 2 and not any(side.cut for side in self.sides)

    def upper(self, seen: Sequence[Array]) -> Array:
        """Return values, (rows, critics), given what the frozen first layers of each put out."""
        if self._whole_pair():
            return self.forward(seen[0])
        return np.concatenate([side.upper(x) for side, x in zip(self.sides, seen, strict=True)], axis=1)

    def back(self, seen: Sequence[Array], gradient: Array) -> None:
        """Write the gradients of all weights, right after `upper` of the same rows.

        Args:
            seen: what `upper` was given.
            gradient: (rows, critics), of the loss with respect to the values.
        """
        if self._whole_pair():
            one, other = (np.ascontiguousarray(gradient[:, place : place + 1]) for place in (0, 1))
            self.sides[0].backward_beside(self.sides[1], seen[0], one, other)
            return
        for place, (side, x) in enumerate(zip(self.sides, seen, strict=True)):
            side.back(x, np.ascontiguousarray(gradient[:, place : place + 1]))

    def at_actions(self, values: Array, slope: float, axes: int) -> Array:
        """Return the gradient at the actions of `slope` times the least value of each row, right after `forward`.

        A row's least value comes from one of the critics alone, so each of them carries back its own rows only.

        Args:
            values: what `forward` returned.
            slope: of the loss with respect to each least value.
            axes: of an action.
        """
        rows, heads = values.shape
        columns = slice(-axes, None)
        if heads == 1:
            return self.sides[0].inward(np.full((rows, 1), slope, values.dtype), rows, np.arange(rows), columns)
        least, found = values.argmin(axis=1), np.empty((rows, axes), values.dtype)
        chosen = [np.flatnonzero(least == place) for place in range(heads)]
        gradients = [np.full((len(some), 1), slope, values.dtype) for some in chosen]
        if heads == 2 and all(map(len, chosen)):
            one, other = self.sides
            found[chosen[0]], found[chosen[1]] = one.inward_beside(other, gradients, rows, chosen, columns)
            return found
        for side, gradient, some in zip(self.sides, gradients, chosen, strict=True):
            if len(some):
                found[some] = side.inward(gradient, rows, some, columns)
        return found
