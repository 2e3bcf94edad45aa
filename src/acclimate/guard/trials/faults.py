"""Faults of sensors that begin within an episode, to measure a guard by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from acclimate.errors import ConfigError, suggest
from acclimate.evaluation.players import Mask, Player, stacked
from acclimate.guard.guard import Guard
from acclimate.guard.layout import Layout, Rows

EARLIEST, LATEST = 10, 50
"""Steps of an episode before which no fault begins, and after which none does."""
SPIKES, SPIKE = 0.05, 8.0
"""Share of steps with a spike, and its size in clean standard deviations."""
BIAS = 3.0
DRIFT, FARTHEST = 0.02, 6.0
"""Deviations a step, and where a drift ends."""
LOST = 0.3
"""Share of readings that read zero."""
NOISE = 1.0


class Sensors:
    """What can fail: each number of the observation, and each image as a whole."""

    def __init__(self, guard: Guard) -> None:
        """Find them, with the clean standard deviation of each; observations of choices alone have none."""
        layout, standard = guard.layout, guard.filter.standard
        deviation = np.where(standard.gain > 0, 1 / np.where(standard.gain > 0, standard.gain, 1.0), 0.0)
        numbers = len(layout.numbers)
        found = [
            (np.array([place]), float(each)) for place, each in zip(layout.numbers, deviation, strict=False) if each > 0
        ]
        spreads = standard.mean.numpy()[numbers + 1 :: 2]
        images = zip(layout.images, spreads, strict=True)
        found += [(np.arange(start, start + size), float(each)) for (start, size), each in images]
        self.all, self.layout = found, layout
        self.floating = [(places, each) for places, each in found if self._floats(int(places[0]))]

    def _floats(self, place: int) -> bool:
        part = next(part for part in self.layout.parts if place in part.places)
        return isinstance(part.space, spaces.Box) and part.space.dtype.kind == "f"


class Struck:
    """An episode with a fault: when it begins, and which sensor it is."""

    def __init__(self, sensors: Sensors, seed: int, finite: bool) -> None:
        self.random = np.random.default_rng(seed)
        self.onset = int(self.random.integers(EARLIEST, LATEST + 1))
        self.sensors = sensors
        choice = sensors.all if finite else sensors.floating
        self.places, self.deviation = choice[self.random.integers(len(choice))]
        self.other, _ = sensors.all[self.random.integers(len(sensors.all))]
        self.sign = float(self.random.choice([-1.0, 1.0]))
        self.step = 0
        self.held: NDArray[np.float32] | None = None

    def shown(self, row: Rows, change: Change) -> tuple[Rows, bool]:
        """Return what is seen of the next row, and whether the fault shows in it."""
        self.step += 1
        if self.step <= self.onset:
            return row, False
        row = row.copy()
        return row, change(self, row)


Change = Callable[[Struck, Rows], bool]
"""Changes a row in place, and says whether it did."""


def _not_finite(struck: Struck, row: Rows) -> bool:
    row[struck.places] = struck.random.choice([np.nan, np.inf, -np.inf])
    return True


def _stuck(struck: Struck, row: Rows) -> bool:
    if struck.held is None:
        struck.held = row[struck.places].copy()
    row[struck.places] = struck.held
    return True


def _spike(struck: Struck, row: Rows) -> bool:
    if struck.random.random() >= SPIKES:
        return False
    row[struck.places] += struck.random.choice([-1.0, 1.0]) * SPIKE * struck.deviation
    return True


def _bias(struck: Struck, row: Rows) -> bool:
    row[struck.places] += struck.sign * BIAS * struck.deviation
    return True


def _drift(struck: Struck, row: Rows) -> bool:
    far = min(DRIFT * (struck.step - struck.onset), FARTHEST)
    row[struck.places] += struck.sign * far * struck.deviation
    return True


def _dropout(struck: Struck, row: Rows) -> bool:
    lost = [places for places, _ in struck.sensors.all if struck.random.random() < LOST]
    for places in lost:
        row[places] = 0.0
    return bool(lost)


def _swapped(struck: Struck, row: Rows) -> bool:
    """Exchange two sensors; one that is alone, or of another size, reads in reverse."""
    one, other = struck.places, struck.other
    if len(one) != len(other) or one[0] == other[0]:
        others = [places for places, _ in struck.sensors.all if len(places) == len(one) and places[0] != one[0]]
        other = others[0] if others else one[::-1]
    row[one], row[other] = row[other].copy(), row[one].copy()
    return True


def _noisy(struck: Struck, row: Rows) -> bool:
    for places, deviation in struck.sensors.all:
        row[places] += (NOISE * deviation * struck.random.standard_normal(len(places))).astype(np.float32)
    return True


FAULTS: Mapping[str, Change] = {
    "not_finite": _not_finite,
    "stuck": _stuck,
    "spike": _spike,
    "bias": _bias,
    "drift": _drift,
    "dropout": _dropout,
    "swapped": _swapped,
    "noisy": _noisy,
}
"""By name: one entry is no number, stays as it was, jumps now and then, is off, moves away; entries read zero, are
exchanged, are noisy."""


def change_of(name: str) -> Change:
    """Return a fault by its name.

    Raises:
        ConfigError: There is none.
    """
    if name not in FAULTS:
        raise ConfigError(f"no fault `{name[:40]}`. {suggest(name, FAULTS)}")
    return FAULTS[name]


class Faulty:
    """A player that sees the world through sensors that fail; each episode fails by its own seed."""

    def __init__(self, player: Player, sensors: Sensors, fault: str) -> None:
        """Put failing sensors before a player.

        Raises:
            ConfigError: There is no such fault, or no sensor that it could be shown on.
        """
        if not sensors.all:
            raise ConfigError("the observations have no number that moves, so that no fault of a sensor can be shown")
        self._player, self._sensors = player, sensors
        self._change, self._finite = change_of(fault), fault != "not_finite"
        self._struck: dict[int, Struck] = {}
        self.shows: dict[int, list[bool]] = {}
        """By the seed of an episode, at which steps the fault shows; also after its end, as `Noting` keeps it."""
        self._seeds: dict[int, int] = {}
        self.truth: Sequence[Any] = ()
        """What the sensors would have seen."""

    def begin(self, slot: int, seed: int) -> None:
        """Draw the fault of an episode."""
        self._seeds[slot], self.shows[seed] = seed, []
        self._struck[slot] = Struck(self._sensors, seed, self._finite)
        self._player.begin(slot, seed)

    def act(self, observations: Sequence[Any], starts: NDArray[np.bool_], masks: Sequence[Mask]) -> Sequence[Any]:
        """Let the player act on what the sensors show."""
        self.truth = observations
        layout = self._sensors.layout
        rows = layout.rows(stacked(observations))
        for slot, row in enumerate(rows):
            rows[slot], shows = self._struck[slot].shown(row, self._change)
            self.shows[self._seeds[slot]].append(shows)
        return self._player.act(separate(layout, rows), starts, masks)


class Unharmed:
    """A player behind failing sensors that acts on the truth: what it sees it could not act on at all."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self.faulty: Faulty | None = None

    def begin(self, slot: int, seed: int) -> None:
        """Begin an episode."""
        self._player.begin(slot, seed)

    def act(self, observations: Sequence[Any], starts: NDArray[np.bool_], masks: Sequence[Mask]) -> Sequence[Any]:
        """Act on what the sensors would have seen."""
        return self._player.act(self.faulty.truth if self.faulty else observations, starts, masks)


def separate(layout: Layout, rows: Rows) -> list[Any]:
    """Return rows as a list of observations."""
    batch = layout.observations(rows)
    if isinstance(batch, dict):
        return [{key: part[slot] for key, part in batch.items()} for slot in range(len(rows))]
    return list(batch)
