"""Seen of a file at a glance: its first bytes, the names in it, the words of its pickle. Nothing is unpickled."""

from __future__ import annotations

import io
import os
import pickletools
import zipfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from acclimate.errors import SourceError

_HEAD, _PICKLE, _WORDS = 4096, 2**18, 10_000
# A file of torch before 1.6 begins with five pickles; any other is one.
_PICKLES = 5
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError, KeyError)


class Glimpse:
    """One look at a path, each part taken when it is first asked for.

    Raises:
        SourceError: By each part, if the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        """Look at `path`, which may be a file, a folder, or a link to nothing."""
        self.path = path

    @cached_property
    def link(self) -> str:
        """Where a link that leads to nothing points; empty for all else."""
        return os.readlink(self.path) if self.path.is_symlink() and not self.path.exists() else ""

    @cached_property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.path.is_dir()

    @cached_property
    def head(self) -> bytes:
        """The first bytes, 4,096 at most; none of a folder or a link to nothing."""
        return b"" if self.link or self.is_folder else self._read(_HEAD)

    @cached_property
    def start(self) -> str:
        """The first words, on one line."""
        return " ".join(self.head[:80].decode(errors="replace").split())[:60]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What a folder or a zip holds; nothing if it is neither, or a zip whose directory cannot be read."""
        try:
            if self.is_folder:
                return tuple(sorted(os.listdir(self.path)))
            if self.link or not zipfile.is_zipfile(self.path):
                return ()
            with zipfile.ZipFile(self.path) as archive:
                names = archive.namelist()
            return tuple(n for n in names if not n.startswith("__MACOSX/")) if self._begins_with_one(names) else ()
        except OSError as error:
            raise _unreadable(self.path, error) from error
        except _UNREADABLE:
            return ()

    def _begins_with_one(self, names: list[str]) -> bool:
        """Tell whether the directory is the zip's own; where that is cut off, one of a zip inside is found for it."""
        if not self.head.startswith(b"PK\x03\x04"):
            return True
        first = self.head[30 : 30 + int.from_bytes(self.head[26:28], "little")]
        return first in (name.encode(errors="replace") for name in names) or not first.isascii()

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The texts of its pickle, or of torch's in it, in their order: modules and names of globals, keys, values."""
        if self.head.startswith(b"\x80"):
            return words(self._read(_PICKLE))
        torchs = next((name for name in self.names if name.endswith("/data.pkl")), None)
        return () if torchs is None or self.is_folder else words(self.member(torchs))

    def member(self, name: str) -> bytes:
        """Return the first bytes of a zip's member, 256 KiB at most; none if it cannot be read."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(name) as member:
                return member.read(_PICKLE)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        except _UNREADABLE:
            return b""

    def _read(self, size: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                return file.read(size)
        except OSError as error:
            raise _unreadable(self.path, error) from error


def words(pickled: bytes) -> tuple[str, ...]:
    """Return the texts that a pickle, or the beginning of one, has in its opcodes."""
    return tuple(_words(io.BytesIO(pickled)))


def _words(stream: io.BytesIO) -> Iterator[str]:
    left = _WORDS
    try:
        for _ in range(_PICKLES):
            for opcode, argument, _ in pickletools.genops(stream):
                if not isinstance(argument, str):
                    continue
                yield from argument.split(" ", 1) if opcode.name == "GLOBAL" else (argument,)
                left -= 1
                if not left:
                    return
    except (ValueError, IndexError, OverflowError):
        return  # It ends here, or is no pickle any more: what was seen was seen.


def _unreadable(path: Path, error: OSError) -> SourceError:
    return SourceError(f"{path}: cannot be read ({error.strerror or error}); check the path.")
