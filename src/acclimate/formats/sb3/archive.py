"""The members of a zip that hold an SB3 agent, read under limits.

What a zip's directory says about itself is not believed: names and kinds come from an allow-list, and sizes
are those that decompression really yields.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from pathlib import Path

from acclimate.errors import SourceError, UnsafeFileError

MAX_ARCHIVE = 2 * 2**30
_MEMBERS = frozenset(
    [
        "data",
        "_stable_baselines3_version",
        "system_info.txt",
        "pytorch_variables.pth",
        "tensors.pth",
        "policy.pth",
        "policy.optimizer.pth",
        "actor.optimizer.pth",
        "critic.optimizer.pth",
        "ent_coef_optimizer.pth",
    ]
)
_LIMITS = {"data": 16 * 2**20, "_stable_baselines3_version": 2**10, "system_info.txt": 2**16}
# SB3 stores members uncompressed. One that was packed again shrinks a little; a bomb shrinks a thousandfold.
_ALWAYS, _GROWTH = 64 * 2**20, 4
_CHUNK = 2**20


def read(path: Path) -> dict[str, bytes]:
    """Return the members of the agent's zip at `path`, by name.

    Raises:
        UnsafeFileError: It has members that no agent has, twice the same, links, encrypted or oversized ones.
        SourceError: It cannot be read, or is no zip.
    """
    try:
        size = path.stat().st_size
        if size > MAX_ARCHIVE:
            raise UnsafeFileError(f"{path}: {size} bytes are more than the {MAX_ARCHIVE} an agent may have.")
        with zipfile.ZipFile(path) as archive:
            return _members(archive, path, max(_ALWAYS, _GROWTH * size))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error}); check the path.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError) as error:
        raise SourceError(f"{path}: no readable zip ({error}); copy or download it again.") from error


def _members(archive: zipfile.ZipFile, path: Path, room: int) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    for info in archive.infolist():
        _check(info, members, path)
        content = _content(archive, info, min(room, _LIMITS.get(info.filename, room)), path)
        members[info.filename] = content
        room -= len(content)
    return members


def _check(info: zipfile.ZipInfo, members: dict[str, bytes], path: Path) -> None:
    name = info.filename
    if name not in _MEMBERS:
        raise UnsafeFileError(f"{path}: member {name[:80]!r} belongs to no SB3 agent; remove it from the zip.")
    if name in members:
        raise UnsafeFileError(f"{path}: member {name!r} is there twice; save the agent again.")
    if info.flag_bits & 0x1:
        raise UnsafeFileError(f"{path}: member {name!r} is encrypted; save the agent without a password.")
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise UnsafeFileError(f"{path}: member {name!r} is not a plain file (mode {mode:o}); refused.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsafeFileError(f"{path}: member {name!r} is compressed by method {info.compress_type}; refused.")


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int, path: Path) -> bytes:
    """Return one member, stopping as soon as it grows beyond `limit` bytes whatever it declares."""
    buffer = io.BytesIO()
    with archive.open(info) as member:
        while chunk := member.read(_CHUNK):
            buffer.write(chunk)
            if buffer.tell() > limit:
                raise UnsafeFileError(f"{path}: member {info.filename!r} grows beyond {limit} bytes; refused.")
    return buffer.getvalue()
