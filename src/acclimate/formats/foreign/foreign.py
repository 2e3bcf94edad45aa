"""Which reader takes a file of another framework."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from acclimate.errors import SourceError, UnsafeFileError
from acclimate.files import bounded, tensors
from acclimate.files.glimpse import Glimpse
from acclimate.formats import kinds
from acclimate.formats.foreign import cleanrl, keras, rsl_rl
from acclimate.formats.foreign.layers import inputs
from acclimate.formats.foreign.network import Foreign

LARGEST = 1 << 30
"""Bytes of a file."""


def read(path: Path, critic: Path | None = None) -> tuple[Foreign, str] | None:
    """Return the networks of a file and its hash, None where it is of no framework that is read here.

    Args:
        path: the file.
        critic: a file of Keras with its value network, where that is not in the first one.

    Raises:
        UnsafeFileError: It wants more than tensors, or is too large.
        SourceError: It is broken.
    """
    kind = kinds.of(Glimpse(path))
    if kind not in READERS:
        return None
    data = _bytes(path)
    found = READERS[kind](data, str(path))
    return found if critic is None else _valued(found, path, critic), hashlib.sha256(data).hexdigest()


def _valued(found: Foreign, path: Path, critic: Path) -> Foreign:
    """Return an agent with the value network of another file."""
    if found.critics or found.algorithm != "ppo":
        why = "has its critics" if found.critics else f"goes on as {found.algorithm}, whose critics read actions too"
        raise SourceError(f"{path}: {why}; leave {critic} out")
    kinds.expect(critic, kinds.KERAS)
    stack = keras.value(_bytes(critic), str(critic))
    if found.shared or inputs(stack) != inputs(found.actor):
        reads = "images" if found.shared else f"{inputs(found.actor)} numbers"
        raise SourceError(f"{critic}: reads {inputs(stack)} numbers, and the policy of {path} {reads}")
    return replace(found, critics=(stack,))


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
