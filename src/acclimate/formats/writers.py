"""Which writer an ending asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from acclimate.errors import ExportError
from acclimate.formats import bundle
from acclimate.formats.saved import Saved
from acclimate.formats.sb3 import write as sb3

WRITERS: Mapping[str, Callable[[Saved, Path], Path]] = {"": bundle.save, ".zip": sb3.save}
"""By the ending of a path: a folder, and SB3's zip. A new format is a file of its own and a row here."""


def save(agent: Saved, path: str | Path) -> Path:
    """Write `agent` in the format that the ending of `path` names; return where it is.

    Raises:
        ExportError: The ending names no format that can be written, or one that cannot hold this agent.
    """
    path = Path(path)
    write = WRITERS.get(path.suffix)
    if write is None:
        raise ExportError(f"{path}: no format `{path.suffix}`; write a .zip, or a folder without an ending.")
    return write(agent, path)
