"""Numbers that change during a run.

A schedule maps the progress of the run, from 0 at its first environment step to 1 at its last, to a number.
Progress is counted in environment steps, never in minibatches, so that a recipe means the same whatever the
batch size is.

In files and on the command line a schedule is written `start->end` (straight) or `start~>end` (geometric),
and `@fraction` says where it ends: `0.5->0.0@0.5` falls from 0.5 to 0 over the first half of the run and
stays there.
"""

from __future__ import annotations

import dataclasses
import math
import re
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from acclimate.errors import ConfigError, shown

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_WRITTEN = re.compile(rf"\s*({_NUMBER})\s*(->|~>)\s*({_NUMBER})\s*(?:@\s*({_NUMBER})\s*)?")


@dataclasses.dataclass(frozen=True)
class Schedule(ABC):
    """A number that goes from `start` to `end`, and then stays."""

    start: float
    """The number at the first environment step of the run."""
    end: float
    """The number from `fraction` of the run on."""
    fraction: float = 1.0
    """The share of the run, in (0, 1], after which `end` is reached. Higher: it changes more slowly."""

    arrow: ClassVar[str]

    def __post_init__(self) -> None:
        if not 0.0 < self.fraction <= 1.0:
            raise ConfigError(f"schedule: fraction is {self.fraction}; give a share of the run in (0, 1]")
        if not (math.isfinite(self.start) and math.isfinite(self.end)):
            raise ConfigError(f"schedule: {self.start} to {self.end} is not finite; give finite numbers")

    def __call__(self, progress: float) -> float:
        """Return the number at `progress` in [0, 1]; outside of it the nearer end counts."""
        share = max(progress, 0.0) / self.fraction
        # The end is met exactly: a weight that ends at zero is then skipped.
        return self.end if share >= 1.0 else self._between(share)

    @abstractmethod
    def _between(self, share: float) -> float:
        """Return the number at `share` in [0, 1) of the way."""

    def __str__(self) -> str:
        tail = "" if self.fraction == 1.0 else f"@{self.fraction!r}"
        return f"{self.start!r}{self.arrow}{self.end!r}{tail}"

    def to_config(self) -> str:
        """Return the text form."""
        return str(self)

    @classmethod
    def from_config(cls, value: Any, path: str) -> Schedule:
        """Read the text form, or pass a schedule through.

        Raises:
            ConfigError: if the value is neither; the message begins with `path`.
        """
        if isinstance(value, Schedule):
            return value
        match = _WRITTEN.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ConfigError(f"{path}: expected a number or a schedule such as `0.5->0.0`, not {shown(value)}")
        start, arrow, end, fraction = match.groups()
        kind = Linear if arrow == Linear.arrow else Geometric
        try:
            return kind(float(start), float(end), float(fraction or 1.0))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error


@dataclasses.dataclass(frozen=True)
class Linear(Schedule):
    """A straight line.

    Example:
        >>> Linear(0.5, 0.0, fraction=0.5)(0.25)
        0.25
    """

    arrow: ClassVar[str] = "->"

    def _between(self, share: float) -> float:
        return self.start + (self.end - self.start) * share


@dataclasses.dataclass(frozen=True)
class Geometric(Schedule):
    """A number multiplied by the same factor at every step; both ends are above zero.

    Example:
        >>> Geometric(1.0, 0.01)(0.5)
        0.1
    """

    arrow: ClassVar[str] = "~>"

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.start, self.end) <= 0.0:
            raise ConfigError(f"schedule: {self} passes zero; write `->`, or an end above zero")

    def _between(self, share: float) -> float:
        return self.start * (self.end / self.start) ** share


def parse(text: str) -> float | Schedule:
    """Read a number or a schedule from its text form.

    Raises:
        ConfigError: if the text is neither.

    Example:
        >>> parse("0.5->0.0"), parse("0.1")
        (Linear(start=0.5, end=0.0, fraction=1.0), 0.1)
    """
    if re.fullmatch(_NUMBER, text.strip()):
        return float(text)
    return Schedule.from_config(text, "schedule")


def at(value: float | Schedule, progress: float) -> float:
    """Return what a constant or scheduled field is worth at `progress` of the run."""
    return value(progress) if isinstance(value, Schedule) else value


def span(value: float | Schedule) -> tuple[float, float]:
    """Return the lowest and the highest number that a field takes during the run."""
    ends = (value.start, value.end) if isinstance(value, Schedule) else (value, value)
    return min(ends), max(ends)
