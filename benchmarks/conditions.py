"""What the sides of a comparison train with: threads, and the engine's optional kernel."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acclimate.engine.arrays import native

LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Where libraries read, once they are loaded, how many threads they may take."""
CACHE = "ACCLIMATE_CACHE"
"""Where the kernel lies."""


@dataclass(frozen=True)
class Conditions:
    """What is chosen for all sides."""

    threads: int | None = None
    """None: as many as each of them takes by itself."""
    kernel: bool = False
    """Whether ours has the kernel."""

    @classmethod
    def of(cls, cell: Mapping[str, Any]) -> Conditions:
        """Return those that a cell was measured in."""
        return cls(cell["threads"], cell["kernel"])

    @property
    def name(self) -> str:
        """Return a short name, for files."""
        return f"{self.threads or 'all'}{'-kernel' if self.kernel else ''}"

    @property
    def rank(self) -> tuple[int, bool]:
        """Return what tables are sorted by: what a user gets comes first."""
        return self.threads or 0, self.kernel

    def said(self, cores: str) -> str:
        """Return a sentence, given how many cores the machine has."""
        kernel = f"the kernel of `acclimate native` {'' if self.kernel else 'not '}built"
        if self.threads is None:
            return f"On {cores} core(s), each side with as many threads as it takes by itself, {kernel}:"
        return f"On {cores} core(s), {self.threads} thread(s) for all sides but SBX, which takes its own, {kernel}:"


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def begin(threads: int | None, *, kernel: bool) -> Conditions:
    """Return the conditions of this process; where its libraries were loaded in others, begin it anew.

    Args:
        threads: that libraries may take; None leaves it to them.
        kernel: whether the kernel is used where it is built.
    """
    wanted = {name: value for name, value in os.environ.items() if name not in LIBRARIES}
    if threads is not None:
        wanted |= dict.fromkeys(LIBRARIES, str(threads))
    if not kernel:
        wanted[CACHE] = os.devnull
    if wanted != dict(os.environ):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)
    return Conditions(threads, native.kernel() is not None)
