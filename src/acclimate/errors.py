"""The exceptions of Acclimate.

::

    AcclimateError
      ConfigError            a recipe, flag, name or field that cannot be used
      SourceError            an agent's file that cannot be read
        UnsafeFileError      ... because reading it would not be safe
      TaskError              an environment that cannot be made, shifted or stepped
        SpaceMismatchError   ... or that has other spaces than the agent
      SurgeryError           a method that cannot be applied to a network
      TrainingError          training that cannot go on
        DivergenceError      ... because it left the numbers or collapsed
      ExportError            an agent that cannot be written
        MisfitError          ... in a format that cannot hold it
      GuardRefusal           an observation the guard does not let through

A message says what is wrong, where, and what to do instead, on one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

SHOWN = 100
"""Characters of a value that an error shows."""


class AcclimateError(Exception):
    """Base of everything that Acclimate raises on purpose."""


class ConfigError(AcclimateError):
    """Raised when a recipe, a flag, a name or a field cannot be used."""


class SourceError(AcclimateError):
    """Raised when an agent's file cannot be read."""


class UnsafeFileError(SourceError):
    """Raised when a file asks for something that a safe reader must not do."""


class TaskError(AcclimateError):
    """Raised when an environment cannot be made, shifted or stepped."""


class SpaceMismatchError(TaskError):
    """Raised when the agent's spaces are not those of the environment."""


class SurgeryError(AcclimateError):
    """Raised when a method cannot be applied to a network."""


class TrainingError(AcclimateError):
    """Raised when training cannot go on."""


class DivergenceError(TrainingError):
    """Raised when training left the finite numbers or collapsed."""


class ExportError(AcclimateError):
    """Raised when an agent cannot be written."""


class MisfitError(ExportError):
    """Raised when a format cannot hold an agent."""


class GuardRefusal(AcclimateError):  # noqa: N818 (a refusal is no fault)
    """Raised when an observation is not let through to the policy."""


@contextmanager
def naming(method: str, role: str) -> Iterator[None]:
    """Say which method, on which network, a `SurgeryError` is about."""
    try:
        yield
    except SurgeryError as error:
        raise SurgeryError(f"`{method}` on `{role}`: {error}") from error


def shown(value: object) -> str:
    """Return a value as an error shows it, whatever its size.

    Example:
        >>> len(shown("x" * 10_000))
        100
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or what holds itself
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def suggest(name: str, options: Iterable[str]) -> str:
    """Return a hint for a mistyped name: the nearest option, or all of them.

    Example:
        >>> suggest("rnak", ["rank", "alpha"])
        'Did you mean `rank`?'
    """
    known, name = sorted(options), name[:SHOWN]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"Did you mean `{near[0]}`?"
    return f"Known: {', '.join(known)}." if known else "There are none."
