"""Episodes that are looked at while they are played."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acclimate.evaluation.evaluate import Evaluation
from acclimate.evaluation.players import Mask, Player, stacked
from acclimate.guard.layout import Layout, Rows

Look = Callable[[Rows, NDArray[np.bool_]], NDArray[Any]]
"""From rows and which of them begin an episode to what is kept of each, (slots, ...)."""


class Noting:
    """A player that keeps what a look at each observation gives, before another one acts on it."""

    def __init__(self, player: Player, layout: Layout, look: Look) -> None:
        self._player, self._layout, self._look = player, layout, look
        self._seeds: dict[int, int] = {}
        self._kept: dict[int, list[NDArray[Any]]] = defaultdict(list)

    def begin(self, slot: int, seed: int) -> None:
        """Begin an episode."""
        self._seeds[slot] = seed
        self._player.begin(slot, seed)

    def act(self, observations: Sequence[Any], starts: NDArray[np.bool_], masks: Sequence[Mask]) -> Sequence[Any]:
        """Look, then let the player act."""
        for slot, kept in enumerate(self._look(self._layout.rows(stacked(observations)), starts)):
            self._kept[self._seeds[slot]].append(kept)
        return self._player.act(observations, starts, masks)

    def episodes(self, played: Evaluation) -> list[NDArray[Any]]:
        """Return what was kept, an array for each episode in the order of seeds.

        A slot without an episode stays in the batch: what was kept after an end is cut off.
        """
        pairs = zip(played.seeds, played.lengths, strict=True)
        return [np.stack(self._kept[int(seed)][:length]) for seed, length in pairs]
