"""An observation as one row of 32-bit numbers, each with a name, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from acclimate.errors import ConfigError, GuardRefusal

Rows = NDArray[np.float32]
MOST_NUMBERS = 1024
"""Entries of a Box that are looked at one by one; one with more is an image."""
UNBOUNDED = 0.99 * float(np.finfo(np.float32).max)
"""A declared bound beyond it is none: older environments write the largest number of 32 bits."""


@dataclass(frozen=True)
class Part:
    """What one space is in the row."""

    key: str
    """In a Dict; empty where the observation is one space."""
    space: spaces.Space
    start: int
    size: int

    @property
    def counts(self) -> bool:
        """Whether its entries are choices, which have a range and no distances."""
        return not isinstance(self.space, spaces.Box)

    @property
    def image(self) -> bool:
        """Whether it is looked at as a whole: by mean and spread of its pixels."""
        pixels = len(self.space.shape or ()) == 3 and self.space.dtype == np.uint8
        return not self.counts and (pixels or self.size > MOST_NUMBERS)

    @property
    def places(self) -> range:
        """Where its entries stand in the row."""
        return range(self.start, self.start + self.size)

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the declared bounds of each entry, infinite where there are none."""
        low, high = (np.asarray(bound, np.float64).ravel() for bound in _bounds(self.space))
        return np.where(low < -UNBOUNDED, -np.inf, low), np.where(high > UNBOUNDED, np.inf, high)

    def names(self) -> list[str]:
        """Return the names of its entries: `3`, or `key[3]` in a Dict."""
        return [f"{self.key}[{i}]" if self.key else str(i) for i in range(self.size)]


def _bounds(space: Any) -> tuple[Any, Any]:
    if isinstance(space, spaces.Box):
        return space.low, space.high
    if isinstance(space, spaces.Discrete):
        return space.start, space.start + space.n - 1
    if isinstance(space, spaces.MultiDiscrete):
        return space.start, space.start + space.nvec - 1
    return np.zeros(space.shape), np.ones(space.shape)


class Layout:
    """Where the entries of an observation stand in a row."""

    def __init__(self, space: spaces.Space) -> None:
        """Lay out a space.

        Raises:
            ConfigError: It is no Box, Discrete, MultiDiscrete, MultiBinary or Dict of these.
        """
        self.space = space
        self.parts = tuple(_parts(space))

    @property
    def size(self) -> int:
        """How many numbers a row has."""
        return sum(part.size for part in self.parts)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What the numbers are called."""
        return tuple(name for part in self.parts for name in part.names())

    @property
    def numbers(self) -> list[int]:
        """Where the entries stand that are looked at one by one: no choices and no pixels."""
        return [place for part in self.parts if not part.counts and not part.image for place in part.places]

    @property
    def images(self) -> list[tuple[int, int]]:
        """Beginning and size of each image."""
        return [(part.start, part.size) for part in self.parts if part.image]

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the declared bounds of all entries."""
        low, high = zip(*(part.bounds() for part in self.parts), strict=True)
        return np.concatenate(low), np.concatenate(high)

    def choices(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the first and the last choice of entries that are choices, infinite for all others."""
        counts = np.concatenate([np.full(part.size, part.counts) for part in self.parts])
        low, high = self.bounds()
        return np.where(counts, low, -np.inf), np.where(counts, high, np.inf)

    def single(self, observation: Any) -> bool:
        """Tell whether this is one observation and no batch of them.

        Raises:
            GuardRefusal: A part of it is missing.
        """
        part = self.parts[0]
        return np.ndim(_taken(observation, part)) == len(part.space.shape or ())

    @np.errstate(over="ignore")  # what is too large for 32 bits becomes infinite, and is refused as that
    def rows(self, observations: Any) -> Rows:
        """Return a batch of observations as rows, (batch, size).

        Raises:
            GuardRefusal: They are of another shape or kind than the space.
        """
        flat = []
        for part in self.parts:
            found = _taken(observations, part)
            try:
                flat.append(np.asarray(found).astype(np.float32).reshape(len(found), part.size))
            except (TypeError, ValueError) as error:
                raise _alien(part) from error
        return np.concatenate(flat, axis=1)

    def observations(self, rows: Rows) -> Any:
        """Return rows as a batch of observations in the shapes and types of the space."""
        found = {part.key: self._part(part, rows[:, part.start : part.start + part.size]) for part in self.parts}
        return found if isinstance(self.space, spaces.Dict) else found[""]

    @staticmethod
    def _part(part: Part, values: Rows) -> Any:
        kind, shape = part.space.dtype, (-1, *(part.space.shape or ()))
        if kind is not None and kind.kind in "iu":  # what is beyond a whole number's range would wrap around
            least, most = np.iinfo(kind).min, np.iinfo(kind).max
            return values.astype(np.float64).clip(least, most).astype(kind).reshape(shape)
        return values.reshape(shape).astype(kind)


def _taken(observations: Any, part: Part) -> Any:
    """Return what a part's space shows, of one observation or a batch."""
    try:
        return observations[part.key] if part.key else observations
    except (KeyError, IndexError, TypeError) as error:
        raise _alien(part) from error


def _alien(part: Part) -> GuardRefusal:
    where = f"`{part.key}` of the observations" if part.key else "the observations"
    return GuardRefusal(f"{where} are no batch of {part.space}; give what the environment gives")


def _parts(space: spaces.Space) -> Iterator[Part]:
    inner = space.spaces.items() if isinstance(space, spaces.Dict) else [("", space)]
    start = 0
    for key, part in inner:
        if not isinstance(part, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
            raise ConfigError(f"a guard reads no {type(part).__name__} observations; flatten them first")
        size = int(np.prod(part.shape or ()))
        yield Part(key, part, start, size)
        start += size
