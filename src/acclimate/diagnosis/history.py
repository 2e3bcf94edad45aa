"""The measurements of a run, side by side: a column for each signal, a row for each time it was looked at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Reading = Mapping[str, float | None]
"""What was measured at one time, by the name of the signal: `kind/.../measure`."""
STEPS = "steps"


class History:
    """Columns of numbers, None where a signal was not measured.

    Example:
        >>> seen = History()
        >>> seen.add(0, {"policy/std": 0.5})
        >>> seen.add(100, {"policy/std": 0.25, "policy/kl": 0.1})
        >>> seen.first("policy/std"), seen.last("policy/kl"), seen.column("policy/kl")
        (0.5, 0.1, [None, 0.1])
    """

    def __init__(self, data: Mapping[str, Sequence[Any]] | None = None) -> None:
        """Start anew, or go on with what `to_json` returned."""
        self._columns: dict[str, list[float | None]] = {key: list(values) for key, values in (data or {}).items()}
        self._columns.setdefault(STEPS, [])

    def __len__(self) -> int:
        """Return how many times it was looked."""
        return len(self._columns[STEPS])

    @property
    def steps(self) -> list[int]:
        """Target steps charged at each of them."""
        return [int(at) for at in self._columns[STEPS] if at is not None]

    def add(self, steps: int, reading: Reading) -> None:
        """Add a row; what is not finite counts as not measured, and what never was has no column."""
        rows = len(self)
        known = {name: value for name, value in reading.items() if value is not None and math.isfinite(value)}
        for name in (name for name in known if name not in self._columns):
            self._columns[name] = [None] * rows
        for name, column in self._columns.items():
            column.append(steps if name == STEPS else known.get(name))

    def names(self, kind: str, measure: str = "") -> Iterator[str]:
        """Yield the signals of a kind, in the order in which they were first measured."""
        for name in self._columns:
            if name.startswith(f"{kind}/") and name.endswith(measure):
                yield name

    def column(self, name: str) -> list[float | None]:
        """Return all values of a signal."""
        return list(self._columns.get(name, ()))

    def known(self, name: str) -> list[float]:
        """Return the values of a signal where it was measured."""
        return [value for value in self._columns.get(name, ()) if value is not None]

    def first(self, name: str) -> float | None:
        """Return its first value, None if it was never measured."""
        return next(iter(self.known(name)), None)

    def last(self, name: str) -> float | None:
        """Return its last value, None if it was never measured."""
        return next(reversed(self.known(name)), None)

    def to_json(self) -> dict[str, list[float | None]]:
        """Return the columns, `steps` among them."""
        return {name: list(values) for name, values in self._columns.items()}
