"""The contract of a shift: one declared change of the world that can be read back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self

import gymnasium as gym

from acclimate.errors import ConfigError, TaskError
from acclimate.registry import SHIFTS
from acclimate.shifts.trace import differs


@dataclass(frozen=True)
class Shift:
    """One declared change of the world.

    A subclass is a frozen dataclass with a `name`, a `unit` and an `example` value, whose first docstring
    line says what it changes. Third parties register theirs by the entry point `acclimate.shifts`.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    """What the value of the first field means; `acclimate shifts` prints it."""
    example: ClassVar[float]
    """A value of the first field that changes every environment which has the shift."""
    neutral: ClassVar[float | None] = None
    """The value of the first field that changes nothing, such as a factor of one; None if there is none."""
    pays: ClassVar[bool] = False
    """Whether it wraps the environment and changes rewards, which what counts them further inside does not see."""

    @property
    def identity(self) -> bool:
        """Whether this instance changes nothing, so that there is no effect to verify."""
        return self.neutral is not None and getattr(self, fields(self)[0].name) == self.neutral

    @classmethod
    def sample(cls, env: gym.Env) -> Self:
        """Return a shift to try out on this environment."""
        return cls(cls.example)

    def missing(self, env: gym.Env) -> str:
        """Say why the environment cannot be shifted so, as "it has no ..."; empty if it can."""
        return ""

    def current(self, env: gym.Env) -> str:
        """Describe what would be changed, with its present value, for `acclimate shifts`."""
        return ""

    def prepare(self, make: Callable[[], gym.Env]) -> Self:
        """Return the shift with what it needs to know of the unshifted environment, which `make` builds."""
        return self

    def apply(self, env: gym.Env) -> gym.Env:
        """Change this one environment, or wrap it, and return it. Other environments stay as they are."""
        raise NotImplementedError

    def verify(self, env: gym.Env, before: gym.Env) -> None:
        """Check that the shift took effect.

        Args:
            env: an environment of its own with this shift as the last.
            before: the same without it.

        Raises:
            TaskError: if a seeded rollout of random actions is the same in both.
        """
        if not self.identity and not differs(env, before):
            raise TaskError(f"the shift `{self.brief()}` changes nothing here; choose another value or another shift")

    def to_config(self) -> str | dict[str, Any]:
        """Write the shift as its registered name with its fields."""
        return SHIFTS.config(self)

    @classmethod
    def from_config(cls, value: Any, path: str = "shift") -> Self:
        """Make a shift from `name`, `{name: value}` or `{name: {field: value}}`.

        Raises:
            ConfigError: if the name or a field cannot be used.
        """
        shift = SHIFTS.build(value, path)
        if not isinstance(shift, cls):
            raise ConfigError(f"{path}: expected {cls.__name__}, not {shift!r}")
        return shift

    def brief(self) -> str:
        """Write the shift for a reader, without long details."""
        return str(self)

    def __str__(self) -> str:
        """Write the shift as `parse` reads it, without the fields that have their defaults."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        first = fields(self)[0]
        if list(given) == [first.name] and first.default is MISSING:
            return f"{self.name}={_text(given[first.name])}"
        return f"{self.name}:{','.join(f'{name}={_text(value)}' for name, value in given.items())}"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


@dataclass(frozen=True)
class ShiftInfo:
    """What an environment offers to one kind of shift."""

    name: str
    doc: str
    unit: str
    current: str
    """The present value, in words."""
    example: str
    """A shift as the command line takes it."""


def finite(name: str, value: float, *, least: float = -math.inf, most: float = math.inf, above: bool = False) -> None:
    """Check a field of a shift.

    Args:
        name: the field, for the message.
        value: what it holds.
        least: the smallest value.
        most: the largest value.
        above: whether `least` itself is too small.

    Raises:
        ConfigError: if the value is not finite or out of its bounds.
    """
    if math.isfinite(value) and least <= value <= most and not (above and value == least):
        return
    if most < math.inf:
        bound = f" from {least:g} to {most:g}"
    else:
        bound = "" if least == -math.inf else f" {'above' if above else 'of at least'} {least:g}"
    raise ConfigError(f"`{name}` is {value}; give a finite number{bound}")
