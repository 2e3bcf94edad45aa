"""An attack that knows the guard before an agent, and stays below its limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.attacks.attack import Attacker, Moment
from acclimate.evaluation.players import Mask
from acclimate.guard.guarded import Guarded
from acclimate.guard.inside import Inside
from acclimate.guard.layout import Rows
from acclimate.guard.running import Running
from acclimate.guard.tiers.tier import State

Changes = dict[str, torch.Tensor]
"""How each part of a batch of observations is moved, as the network reads it, by key."""
SHARES = (1.0, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05)
"""Of the way from the true observation to the worst."""
BACK = (1.0, 0.75, 0.5)
"""Of the change of the step before: as it was, and on the way back to the truth."""


class Evading:
    """Shows at each step the most harmful candidate that raises no flag, and the truth where all of them do.

    Candidates are the worst neighbour and points on the way to it, and the change of the step before, with which what
    is shown moves no faster than the truth. The guard's state is followed along what is shown. It looks no further
    than the step at hand, so that after a bold one even the truth may be refused.
    """

    def __init__(self, attacker: Attacker, guarded: Guarded) -> None:
        self._attacker, guard = attacker, guarded.guard
        inside = Inside.of(guarded.agent, guard.filter)
        self._layout, self._running = guard.layout, Running(guard.filter, guard.layout, inside)
        self._state: State | None = None
        self._last: Changes = {}

    def __call__(self, raw: Any, starts: NDArray[np.bool_], masks: Mask = None) -> Any:
        """Return what the agent is shown in the place of a batch of observations."""
        moment, truth = self._attacker.moment(raw, masks), self._layout.rows(raw)
        if self._state is None:
            self._state = self._running.filter.initial(len(truth))
        *_, worst = self._attacker.neighbours(moment)
        whole = self._changes(moment, worst)
        candidates = [*_shares(whole, SHARES), *_shares(self._last, BACK)]
        best, most = truth, torch.full((len(truth),), -torch.inf)
        kept = {key: torch.zeros_like(change) for key, change in whole.items()}
        for changes in candidates:
            rows, harm = self._tried(moment, changes)
            _, flags, _, _ = self._running.step(rows, self._state, starts)
            better = torch.from_numpy(~flags.any(1)) & (harm > most)
            best = np.where(better.numpy()[:, None], rows, best)
            most = torch.where(better, harm, most)
            kept = {key: torch.where(_wide(better, change), change, kept[key]) for key, change in changes.items()}
        _, _, _, self._state = self._running.step(best, self._state, starts)
        self._last = kept
        return self._layout.observations(best)

    def _changes(self, moment: Moment, observations: Any) -> Changes:
        seen = moment.seen.observations
        pairs = {
            key: (observations[key], seen[key]) if key else (observations, seen) for key in self._attacker.sight.units
        }
        return {key: (after - before).detach() for key, (after, before) in pairs.items()}

    @torch.no_grad()
    def _tried(self, moment: Moment, changes: Changes) -> tuple[Rows, torch.Tensor]:
        """Return what the guard and the agent would see, and the harm."""
        seen = moment.seen.observations
        moved = {key: (seen[key] if key else seen) + change for key, change in changes.items()}
        observations = {**seen, **moved} if isinstance(seen, dict) else moved[""]
        rows = self._layout.rows(self._attacker.shown(moment, observations))
        return rows, self._attacker.harm(moment, observations).cpu()


def _shares(changes: Changes, shares: tuple[float, ...]) -> list[Changes]:
    return [{key: share * change for key, change in changes.items()} for share in shares] if changes else []


def _wide(rows: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return rows.to(like.device).reshape(-1, *[1] * (like.dim() - 1))
