"""Observations by which a guarded graph is held to its agent: some clean, some that trip the guard."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from acclimate.guard.guard import Guard
from acclimate.guard.layout import Rows
from acclimate.guard.tiers.reasons import Reason

BIAS = 6.0
"""Deviations by which some rows stay off, so that statistics and sums of them move."""
SPIKES = 0.15
"""Share of steps that are spoilt by themselves."""


def episodes(guard: Guard, rows: Rows, steps: int, size: int, rng: np.random.Generator) -> Rows:
    """Return rows for so many steps of a batch, (steps, size, entries).

    Args:
        guard: tells how far each entry goes.
        rows: (rows, entries), what is clean, one step after another.
        steps: how many.
        size: of the batch.
        rng: draws what is spoilt, and how.
    """
    begins = rng.integers(len(rows), size=size)
    found = rows[(begins + np.arange(steps)[:, None]) % len(rows)].copy()
    spread = _spread(guard)
    signs = rng.choice([-1.0, 1.0], size=(size, rows.shape[1]))
    off = (np.arange(size) % 3 == 2)[None, :, None] & (np.arange(steps) >= steps // 3)[:, None, None]
    found += np.where(off, BIAS * signs * spread, 0.0).astype(np.float32)
    floats = np.array([place for part in guard.layout.parts if _floats(part.space) for place in part.places], int)
    for step, row in np.argwhere(rng.random((steps, size)) < SPIKES):
        _spoil(found[step, row], floats, spread, rng)
    if Reason.BOUNDS not in guard.filter.reasons:  # then nothing keeps a choice that there is not from the policy
        found = found.clip(*guard.layout.choices()).astype(np.float32)
    return found


def near(guard: Guard, packed: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a guard's state, (rows, numbers), with the sums of every other row just below the limit.

    They grow by a few deviations a step and their limit is that of whole episodes: from zero few would reach it.
    """
    found, begin = packed.copy(), 0
    limits = dict(zip(guard.filter.reasons, guard.filter.limits.tolist(), strict=True))
    for name, value in guard.initial(1).items():
        if name == "sums":
            found[::2, begin : begin + value.numel()] = 0.97 * limits[Reason.SEQUENCE]
        begin += value.numel()
    return found


def _spoil(row: Any, floats: NDArray[np.int_], spread: Any, rng: np.random.Generator) -> None:
    """Spoil one row in place: no number, far off, or a jump of one entry or all."""
    kind = rng.integers(5)
    if kind <= 1 and len(floats):
        row[rng.choice(floats)] = (np.nan, np.inf)[kind]
    elif kind == 2:
        row += 1e4 * spread.astype(np.float32)
    elif kind == 3:
        place = rng.integers(len(row))
        row[place] += 30 * spread[place]
    else:
        row += (8 * spread * rng.normal(size=len(row))).astype(np.float32)


def _spread(guard: Guard) -> NDArray[np.float64]:
    """Return how far each entry goes: its deviation, and 1 where it never moved, is a choice or a pixel."""
    found, gain = np.ones(guard.layout.size), guard.filter.standard.gain.numpy()
    places = guard.layout.numbers
    known = gain[: len(places)]
    found[places] = np.where(known > 0, 1 / np.where(known > 0, known, 1.0), 1.0)
    for start, size in guard.layout.images:
        found[start : start + size] = 20.0
    return found


def _floats(space: spaces.Space) -> bool:
    return isinstance(space, spaces.Box) and space.dtype.kind == "f"
