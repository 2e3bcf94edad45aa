"""Arrays of numbers in an `.npz` file, as numpy's `savez` writes it; together never larger than the file itself."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.errors import UnsafeFileError

BROKEN = (KeyError, ValueError, TypeError, AttributeError, OverflowError, EOFError, RuntimeError, zipfile.BadZipFile)
"""What reading a broken file raises, besides `OSError`."""

Fields = Iterator[tuple[str, Callable[[], Any]]]
"""A name and what makes its array; made one after another, so that not all are there if one is refused."""


def fields(archive: zipfile.ZipFile, size: int, where: str, known: Callable[[str], bool]) -> Fields:
    """Yield the members of an archive of `size` bytes.

    Raises:
        UnsafeFileError: One is not `known`, compressed, there twice, or claims more than the file has.
    """
    seen: set[str] = set()
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name in seen or not known(name) or info.compress_type != zipfile.ZIP_STORED:
            raise UnsafeFileError(f"{where}: member {info.filename[:80]!r} is none of such a file; refused.")
        if max(info.file_size, info.compress_size) > size:
            raise UnsafeFileError(
                f"{where}: member {info.filename[:80]!r} claims more bytes than the file has; refused."
            )
        seen.add(name)
        yield name, partial(_npy, archive, info, where)


def made(found: Fields, room: int, where: str) -> dict[str, np.ndarray]:
    """Return the arrays by name.

    Raises:
        UnsafeFileError: They are larger than `room` bytes together: one block can be named many times over.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, make in found:
        arrays[name] = make()
        room -= arrays[name].nbytes
        if room < 0:
            raise UnsafeFileError(f"{where}: its arrays are larger than the file; refused.")
    return arrays


def read(path: Path, known: Callable[[str], bool]) -> dict[str, np.ndarray]:
    """Return the arrays of a file by name.

    Args:
        path: of the file.
        known: tells which names it may have.

    Raises:
        OSError: It cannot be read; or one of `BROKEN`.
        UnsafeFileError: It holds anything else than such arrays, or claims more than it has.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is no file")
    with zipfile.ZipFile(path) as archive:
        size = path.stat().st_size
        return made(fields(archive, size, str(path), known), size, str(path))


def _npy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> np.ndarray:
    """Return the array of one uncompressed member, never larger than its bytes."""
    raw = archive.read(info)
    stream = io.BytesIO(raw)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, fortran, kind = header[np.lib.format.read_magic(stream)](stream)
    if kind.kind not in "biuf":
        raise UnsafeFileError(f"{where}: {info.filename[:80]} holds no plain numbers; refused.")
    return np.frombuffer(raw, kind, offset=stream.tell()).reshape(shape, order="F" if fortran else "C")
