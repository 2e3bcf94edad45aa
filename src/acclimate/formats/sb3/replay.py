"""Replay buffers, SB3's ``replay_buffer.pkl`` and the ``replay.npz`` of a checkpoint, read as data."""

from __future__ import annotations

import mmap
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.errors import SourceError, UnsafeFileError
from acclimate.files import arrays, numbers
from acclimate.files import pickles as inert
from acclimate.files.arrays import Fields
from acclimate.files.pickles import Made

NAMES = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
"""The arrays of a replay buffer; those of Dict observations are called `observations/key`."""
_SB3 = "stable_baselines3.common.buffers."
_BUFFERS = frozenset(
    (
        *(_SB3 + name for name in ("ReplayBuffer", "DictReplayBuffer", "NStepReplayBuffer")),
        "stable_baselines3.her.her_replay_buffer.HerReplayBuffer",
    )
)


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the filled part of the buffer at `path`, oldest transition first; nothing in the file is executed.

    Returns:
        The arrays by name, each of shape (time, environments, ...). A buffer of before SB3 1.1 has no
        `timeouts`; they are zeros then.

    Raises:
        UnsafeFileError: The file asks for something else than a replay buffer, or for more memory than it brings.
        SourceError: It is absent or broken, or a kind of buffer that is not carried over.
    """
    where = str(path)
    if path.exists() and not path.is_file():
        raise SourceError(f"{where}: is no file; check the path.")
    try:
        # Reads of a mapped file end where the file ends, whatever length the file claims.
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:2] == b"PK":
                with zipfile.ZipFile(file) as archive:
                    return _arrays(arrays.fields(archive, len(data), where, is_known), len(data), where)
            return _arrays(_pickled(inert.stream(data, where=where), where), len(data), where)
    except OSError as error:
        raise SourceError(f"{where}: cannot be read ({error.strerror or error}); check the path.") from error
    except arrays.BROKEN as error:
        raise SourceError(f"{where}: broken replay buffer ({str(error)[:80]}); save it again.") from error


def is_known(name: str) -> bool:
    """Return whether an array of this name belongs to a buffer's filled part."""
    return name.partition("/")[0] in (*NAMES, "pos", "full")


def _arrays(fields: Fields, room: int, where: str) -> dict[str, np.ndarray]:
    found = arrays.made(fields, room, where)
    for name, part in found.items():
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            raise SourceError(f"{where}: its {name} are not finite; give a buffer of an earlier checkpoint.")
    pos, full = int(found.pop("pos")), bool(found.pop("full"))
    found.setdefault("timeouts", np.zeros_like(found["dones"]))
    length = len(found["dones"])
    if any(part.ndim < 2 or len(part) != length for part in found.values()) or not 0 <= pos <= length:
        raise ValueError("its arrays are not of one length")
    if not (full or pos):
        raise SourceError(f"{where}: holds no transitions; leave the buffer out.")
    return {name: np.roll(part, -pos, axis=0) if full else part[:pos] for name, part in found.items()}


def _pickled(record: Any, where: str) -> Fields:
    what = str(record.what) if isinstance(record, Made) else f"a {type(record).__name__}"
    if what not in _BUFFERS or not isinstance(record.state, dict):
        raise UnsafeFileError(f"{where}: holds {what[:80]} where SB3's replay buffer belongs; refused.")
    state = record.state
    if state.get("optimize_memory_usage"):
        raise SourceError(
            f"{where}: saved with optimize_memory_usage=True, which keeps no next observations; leave the buffer out."
        )
    if state.get("copy_info_dict"):
        raise SourceError(
            f"{where}: a hindsight (HER) buffer with copy_info_dict=True, whose infos are objects of the environment's "
            "own; leave the buffer out."
        )
    for name in ("pos", "full"):
        yield name, partial(np.array, numbers.scalar(state[name], f"{where}[{name}]"))
    for name in NAMES:
        part = state.get(name)
        if isinstance(part, dict):
            for key, value in part.items():
                yield f"{name}/{key}", partial(numbers.array, value, f"{where}[{name}][{str(key)[:40]}]")
        elif part is not None:
            yield name, partial(numbers.array, part, f"{where}[{name}]")
