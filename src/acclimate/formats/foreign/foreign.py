"""Which reader takes a file of another framework."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from acclimate.errors import SourceError, UnsafeFileError
from acclimate.files import bounded, tensors
from acclimate.files.glimpse import Glimpse
from acclimate.formats import kinds
from acclimate.formats.foreign import cleanrl, keras, onnx, plain, rsl_rl
from acclimate.formats.foreign.layers import inputs
from acclimate.formats.foreign.network import Foreign
from acclimate.formats.foreign.plain import Spec

LARGEST = 1 << 30
"""Bytes of a file."""


def read(path: Path, spec: Spec | None = None, critic: Path | None = None) -> tuple[Foreign, str] | None:
    """Return the networks of a file and its hash, None where it is of no framework that is read here.

    Args:
        path: of the file.
        spec: which layers are which; a file of weights alone is read by it, whatever wrote it.
        critic: a file of Keras with its value network, where that is not in the first one.

    Raises:
        UnsafeFileError: It wants more than tensors, or is too large.
        SourceError: It is broken, or no file of weights where a spec is given.
    """
    kind = kinds.of(Glimpse(path))
    if spec is None and kind not in READERS:
        return None
    data = _bytes(path)
    sha256, where = hashlib.sha256(data).hexdigest(), str(path)
    found = READERS[kind](data, where) if spec is None else plain.read(_state(data, kind, where), spec, where)
    return found if critic is None else _valued(found, path, critic), sha256


def _state(data: bytes, kind: kinds.Kind, where: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a file of weights."""
    if kind is kinds.SAFETENSORS:
        try:
            return safetensors.torch.load(data)
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
            raise SourceError(f"{where}: broken tensors ({str(error)[:120]}); copy or download it again.") from error
    if kind not in (kinds.WEIGHTS, kinds.CLEANRL, kinds.SB3_WEIGHTS):
        raise SourceError(f"{where}: is {kind.name.format(start='', names='')}, no state dict that a spec speaks of")
    return tensors.state_dict(tensors.read(data, where=where), where=where)


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
    kinds.ONNX: onnx.read,
    kinds.KERAS: keras.read,
}
