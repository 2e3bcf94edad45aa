"""Which reader takes a file of another framework."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from acclimate.errors import SourceError, UnsafeFileError
from acclimate.files import bounded, tensors
from acclimate.files.glimpse import Glimpse
from acclimate.formats import kinds
from acclimate.formats.foreign import cleanrl, keras, rsl_rl
from acclimate.formats.foreign.network import Foreign

LARGEST = 1 << 30
"""Bytes of a file."""


def read(path: Path) -> tuple[Foreign, str] | None:
    """Return the networks of a file and its hash, None where it is of no framework that is read here.

    Raises:
        UnsafeFileError: It wants more than tensors, or is too large.
        SourceError: It is broken.
    """
    kind = kinds.of(Glimpse(path))
    if kind not in READERS:
        return None
    data = _bytes(path)
    return READERS[kind](data, str(path)), hashlib.sha256(data).hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        return bounded.read(path, LARGEST)
    except ValueError as error:
        raise UnsafeFileError(f"{path}: {error}; refused.") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error}); check the path.") from error


def _cleanrl(data: bytes, where: str) -> Foreign:
    return cleanrl.read(tensors.read(data, where=where), where)


def _rsl_rl(data: bytes, where: str) -> Foreign:
    return rsl_rl.read(tensors.read(data, where=where), where)


READERS: dict[kinds.Kind, Callable[[bytes, str], Foreign]] = {
    kinds.CLEANRL: _cleanrl,
    kinds.RSL_RL: _rsl_rl,
    kinds.KERAS: keras.read,
}
