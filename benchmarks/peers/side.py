"""One side of a comparison: something that trains for so many steps when it is told to, and is timed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Spent:
    """Seconds that a round took."""

    wall: float
    cpu: float
    """Of all threads, and of processes that it started."""


class Side(Protocol):
    """Goes on with its training in each round."""

    def train(self, steps: int) -> Spent:
        """Train for so many environment steps, or the few more that fill its last rollout."""

    def close(self) -> None:
        """Stop."""


def spent(run: Callable[[], Any]) -> Spent:
    """Return what a call takes."""
    begun, used = time.perf_counter(), time.process_time() + _children()
    run()
    return Spent(time.perf_counter() - begun, time.process_time() + _children() - used)


def _children() -> float:
    """Return the CPU seconds of the processes that this one has started and not ended; where that is not told, 0."""
    own = os.getpid()
    listed = Path(f"/proc/{own}/task/{own}/children")
    found = 0.0
    for child in listed.read_text(encoding="ascii").split() if listed.exists() else ():
        try:
            _, _, told = Path(f"/proc/{child}/stat").read_text(encoding="utf-8").rpartition(")")
        except OSError:  # it has just ended
            continue
        user, system = told.split()[11:13]
        found += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return found


class Learning:
    """A model with SB3's `learn`."""

    def __init__(self, model: Any) -> None:
        """Hold the model, which has its environments."""
        self.model = model

    def train(self, steps: int) -> Spent:
        """Go on learning."""
        return spent(lambda: self.model.learn(steps, reset_num_timesteps=False))

    def close(self) -> None:
        """Close its environments."""
        self.model.env.close()


class Looping:
    """A loop that yields how many steps it has made since it last did."""

    def __init__(self, loop: Iterator[int]) -> None:
        """Hold the loop."""
        self._loop = loop

    def _advance(self, steps: int) -> None:
        made = 0
        while made < steps:
            made += next(self._loop)

    def train(self, steps: int) -> Spent:
        """Go on with the loop."""
        return spent(lambda: self._advance(steps))

    def close(self) -> None:
        """End the loop."""
        self._loop.close()  # type: ignore[attr-defined]
