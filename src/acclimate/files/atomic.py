"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from acclimate.errors import ConfigError


def write_atomic(path: str | os.PathLike[str], data: bytes | memoryview | str) -> None:
    """Write a file whole or not at all: to a temporary sibling, then renamed. Text is written as UTF-8.

    Raises:
        ConfigError: if the place cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise _unwritable(path, error) from error


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Fill a temporary sibling folder, and give it its name only if nothing was raised.

    An earlier folder of that name is replaced. A kill between the two renames leaves the earlier one beside
    it as `.<name>.old`; `recover_folder` puts it back.

    Raises:
        ConfigError: if the place cannot be written, or is full before all of it is.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        recover_folder(path)
        if path.exists():
            # A kill just after the last exchange has left the one before.
            shutil.rmtree(_old(path), ignore_errors=True)
            os.rename(path, _old(path))
        os.rename(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if path.exists():
            shutil.rmtree(_old(path), ignore_errors=True)


def recover_folder(path: str | os.PathLike[str]) -> None:
    """Put back the folder that an interrupted `atomic_folder` left aside, if the named one is missing."""
    path = Path(path)
    if not path.exists() and _old(path).exists():
        os.rename(_old(path), path)


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write {path} ({error.strerror or error}); choose a folder that can be written")
