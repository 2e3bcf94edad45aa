"""Which writer an ending asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from acclimate.errors import ConfigError, ExportError, MisfitError
from acclimate.formats import bundle
from acclimate.formats.saved import Saved
from acclimate.formats.sb3 import write as sb3

WRITERS: Mapping[str, Callable[[Saved, Path], Path]] = {"": bundle.save, ".zip": sb3.save}
"""By the ending of a path: a folder, and SB3's zip. A new format is a file of its own and a row here."""


def save(agent: Saved, path: str | Path) -> Path:
    """Write `agent` in the format that the ending of `path` names; return where it is.

    Raises:
        MisfitError: The ending names no format that can be written, or one that cannot hold this agent.
        ExportError: The place cannot be written.
    """
    path = Path(path)
    write = WRITERS.get(path.suffix)
    if write is None:
        raise MisfitError(f"{path}: no format `{path.suffix}`; write a .zip, or a folder without an ending.")
    try:
        return write(agent, path)
    except (ConfigError, OSError) as error:
        raise ExportError(str(error)) from error
