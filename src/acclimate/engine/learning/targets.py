"""A target network that follows the one that is trained, by Polyak averaging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.engine.arrays.flat import Flat

Array = NDArray[Any]

EVERY = 32
"""How many moves lie between two looks at what has come to rest."""


class Following:
    """Moves a target's parameters a share of the way to others, and spares those that have come to rest.

    Where a parameter is frozen its target nears it until rounding makes the next move none at all: it is then no longer
    moved, which leaves every bit as SB3 would have it. Now and then all are moved and looked at anew.
    """

    def __init__(self, flat: Flat, target: Flat) -> None:
        """Hold the two arrays; both have the same parameters in the same order."""
        self._flat, self._target = flat, target
        self._pairs = list(zip(flat.parameters, target.parameters, strict=True))
        self._places = list(flat.slices.values())
        self._resting: frozenset[int] = frozenset()
        self._known: Any = None
        self._moves = 0
        self._runs: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._plan()

    def rests(self, parameter: Any) -> bool:
        """Tell whether a parameter of the target stays as it is for now."""
        return any(self._pairs[index][1] is parameter for index in self._resting)

    def follow(self, tau: float) -> None:
        """Move by a share of the way, as SB3's `polyak_update` does.

        `lerp_` is one pass less, but rounds otherwise: over 300 updates of TD3 that alone was seven times the drift of
        all the rest.
        """
        self._moves += 1
        frozen = [index for index, (parameter, _) in enumerate(self._pairs) if not parameter.requires_grad]
        versions = [tensor._version for index in frozen for tensor in self._pairs[index]]
        if (tau, frozen, versions) != self._known:
            self._known, self._resting = (tau, frozen, versions), frozenset()
            self._plan()
        if frozen and self._moves % EVERY == 0:
            self._look(tau, frozen)
            return
        for values, target in self._runs:
            target.mul_(1.0 - tau).add_(values, alpha=tau)

    def _look(self, tau: float, frozen: Sequence[int]) -> None:
        """Move all, and see which of the frozen ones it left where they were."""
        before = {index: self._target.values[self._places[index]].copy() for index in frozen}
        self._resting = frozenset()
        self._plan()
        for values, target in self._runs:
            target.mul_(1.0 - tau).add_(values, alpha=tau)
        self._resting = frozenset(
            index for index, was in before.items() if np.array_equal(was, self._target.values[self._places[index]])
        )
        self._plan()

    def _plan(self) -> None:
        """Join neighbours that move."""
        moving = (p for index, p in enumerate(self._flat.parameters) if index not in self._resting)
        runs = self._flat.runs(moving)
        arrays = self._flat.values, self._target.values
        self._runs = [tuple(torch.from_numpy(a[run]) for a in arrays) for run in runs]  # type: ignore[misc]
