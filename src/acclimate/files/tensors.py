"""Tensors written by ``torch.save``, read with ``weights_only`` and under limits."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from acclimate.errors import SourceError, UnsafeFileError
from acclimate.files import pickles as inert


def read(data: bytes, *, where: str) -> Any:
    """Return what a ``.pth`` member holds: tensors and plain containers, on the CPU.

    Raises:
        UnsafeFileError: It wants more than tensors, or would grow when read.
        SourceError: It is broken.
    """
    if data.startswith(b"PK\x03\x04"):
        _check_zip(data, where)
    else:
        _check_legacy(data, where)
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeFileError(f"{where}: holds more than tensors ({_first_line(error)}); refused.") from error
    except (
        RuntimeError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        EOFError,
        OSError,
    ) as error:
        raise SourceError(f"{where}: broken tensors ({_first_line(error)}); copy or download it again.") from error
    except (MemoryError, OverflowError, RecursionError, AssertionError, UnicodeError) as error:
        raise SourceError(f"{where}: broken tensors ({type(error).__name__}); copy it again.") from error


def write(value: Any, path: Path) -> None:
    """Write tensors and plain containers of them.

    Raises:
        OSError: The disk is full, say; torch itself calls that a `RuntimeError` about positions.
    """
    try:
        with path.open("wb") as file:
            torch.save(value, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def state_dict(value: Any, *, where: str) -> dict[str, torch.Tensor]:
    """Return `value` if it is a flat mapping of names to tensors whose memory is really there.

    Raises:
        SourceError: It is something else.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise SourceError(f"{where}: is no state dict; save the agent again.")
    for name, tensor in value.items():
        if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided or tensor.is_meta:
            raise SourceError(f"{where}: `{name[:80]}` is no dense tensor; save the agent again.")
        # A stride of zero lets one stored number pose as any shape.
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise UnsafeFileError(f"{where}: `{name[:80]}` claims the shape {tuple(tensor.shape)} without the data.")
    return dict(value)


def _check_zip(data: bytes, where: str) -> None:
    """Refuse what would grow: torch stores members as they are, a bomb deflates them."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise UnsafeFileError(f"{where}: its tensors are compressed, which torch never does; refused.")
            if sum(member.file_size for member in members) > len(data):
                raise UnsafeFileError(f"{where}: its tensors claim more bytes than the file has; refused.")
            for member in members:
                if member.filename.endswith(".pkl"):
                    inert.check(io.BytesIO(archive.read(member)), where=where)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError, RuntimeError) as error:
        raise SourceError(f"{where}: broken tensors ({error}); copy or download it again.") from error


def _check_legacy(data: bytes, where: str) -> None:
    """Check the five pickles with which a file of torch before 1.6 begins; plain numbers follow."""
    stream = io.BytesIO(data)
    for _ in range(5):
        inert.check(stream, where=where)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:160] if text else type(error).__name__
