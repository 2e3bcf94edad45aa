"""Transitions: the steps of an evaluation, kept so that they can be learnt from."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.errors import SourceError, UnsafeFileError
from acclimate.files import arrays
from acclimate.files.atomic import write_atomic

_FIELDS = ("observation", "action", "reward", "following", "terminated", "truncated")


@dataclass(frozen=True)
class Transition:
    """One step: observations, action and reward as the environment knows them, nothing normalised."""

    observation: Any
    action: Any
    reward: float
    following: Any
    """The observation after it, also where the episode ended there."""
    terminated: bool
    truncated: bool


class Transitions:
    """Whole episodes, step by step, ordered by their seeds however many of them ran together."""

    def __init__(self) -> None:
        self._episodes: dict[int, list[Transition]] = {}

    def add(self, seed: int, step: Transition) -> None:
        """Append a step to the episode that was reset with this seed."""
        self._episodes.setdefault(seed, []).append(step)

    def clear(self) -> None:
        """Forget them."""
        self._episodes.clear()

    def __iter__(self) -> Iterator[Transition]:
        for seed in sorted(self._episodes):
            yield from self._episodes[seed]

    def __len__(self) -> int:
        return sum(len(steps) for steps in self._episodes.values())

    def write(self, path: Path) -> None:
        """Write them as an `.npz` file that holds arrays alone."""
        arrays = {}
        for name in _FIELDS:
            values = [getattr(step, name) for step in self]
            if values and isinstance(values[0], dict):
                arrays |= {f"{name}/{key}": np.stack([value[key] for value in values]) for key in values[0]}
            else:
                arrays[name] = np.asarray(values)
        data = io.BytesIO()
        np.savez(data, **arrays)
        write_atomic(path, data.getvalue())

    @classmethod
    def read(cls, path: Path) -> Transitions:
        """Read what `write` wrote; nothing in the file is unpickled.

        Raises:
            SourceError: It is missing or damaged.
        """
        found = cls()
        try:
            data = arrays.read(path, lambda name: name.partition("/")[0] in _FIELDS)
            columns = [_column(data, name) for name in _FIELDS]
            if not all(np.isfinite(part).all() for part in data.values()):
                raise ValueError("its numbers are not finite")
            for observation, action, reward, following, terminated, truncated in zip(*columns, strict=True):
                step = Transition(observation, action, float(reward), following, bool(terminated), bool(truncated))
                found.add(0, step)
        except (OSError, UnsafeFileError, *arrays.BROKEN) as error:
            raise SourceError(
                f"{path} cannot be read ({error}): the run is lost; start it anew in another folder."
            ) from error
        return found


def _column(data: Any, name: str) -> list[Any]:
    """Return one field of all steps, an observation of several parts as a dict."""
    if name in data:
        return list(data[name])
    parts = {key.partition("/")[2]: data[key] for key in data if key.startswith(f"{name}/")}
    if not parts:
        raise KeyError(name)
    return [dict(zip(parts, values, strict=True)) for values in zip(*parts.values(), strict=True)]
