"""A filter at work beside a policy, step by step."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.guard.filter import NOTHING, Filter
from acclimate.guard.inside import Inside
from acclimate.guard.layout import Layout, Rows
from acclimate.guard.tiers.tier import State

Filtered = tuple[Rows, NDArray[np.bool_], Rows, State]
"""Rows to act on, flags, scores, and the next state."""


class Running:
    """Gives a filter what it reads of the policy."""

    def __init__(self, filter_: Filter, layout: Layout, inside: Inside | None) -> None:
        """Hold them; `inside` is what `Inside.of` gives."""
        self.filter, self._layout, self._inside = filter_, layout, inside

    @torch.no_grad()
    def step(self, rows: Rows, state: State, starts: NDArray[np.bool_]) -> Filtered:
        """Filter one step of a batch."""
        seen, reset = torch.from_numpy(rows), torch.from_numpy(np.asarray(starts, bool))
        inner, inside = NOTHING, self._inside
        if inside is not None:
            usable = self.filter.usable(seen, state, reset).numpy()
            inner = inside.inner(self.filter, inside.asked, inside.scaled(self._layout.observations(usable)))
        clean, flags, scores, after = self.filter(seen, state, reset, inner)
        return clean.numpy(), flags.numpy(), scores.numpy(), after


class Scoring:
    """A look at episodes, as `Noting` takes it: the scores of each step."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._state: State | None = None

    def __call__(self, rows: Rows, starts: NDArray[np.bool_]) -> Rows:
        """Return the scores, (slots, tiers)."""
        state = self._running.filter.initial(len(rows)) if self._state is None else self._state
        _, _, scores, self._state = self._running.step(rows, state, starts)
        return scores
