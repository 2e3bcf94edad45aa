"""Whole files read into memory, none larger than is asked for and none that waits for somebody to write it."""

from __future__ import annotations

from pathlib import Path

MAX_TEXT = 64 * 2**20
"""Bytes of a text file of a run: a long one's measurements take a hundredth."""
MAX_TENSORS = 2 * 2**30


def read(path: Path, limit: int) -> bytes:
    """Return the bytes of a file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is larger than `limit` bytes, or no file that has an end (a pipe, a device).
    """
    size = path.stat().st_size
    if not path.is_file():
        raise ValueError("it is no plain file")
    if size > limit:
        raise ValueError(f"its {size} bytes are more than the {limit} that are read")
    return path.read_bytes()


def read_text(path: Path, limit: int = MAX_TEXT) -> str:
    """Return the text of a file in UTF-8.

    Raises:
        OSError: It cannot be read.
        ValueError: As `read` does, or it is no text.
    """
    return read(path, limit).decode()
