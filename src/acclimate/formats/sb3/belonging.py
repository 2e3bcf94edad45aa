"""Which normaliser belongs to a zip: what the zip says of one, and what lies beside it under whatever name."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymnasium import spaces

from acclimate.errors import SourceError
from acclimate.formats import kinds
from acclimate.formats.looks import is_normalizer
from acclimate.formats.sb3 import sidecar, vecnormalize
from acclimate.sb3.normalizer import Normalizer
from acclimate.sb3.parts import Parts
from acclimate.sb3.vocabulary import OFF_POLICY

_MOST_FILES, _BEGINNING = 2000, 256


@dataclass(frozen=True)
class Belonging:
    """A normaliser, and the file that it was read from, if it was."""

    normalizer: Normalizer
    path: Path | None = None


def said(algorithm: str, data: Mapping[str, Any]) -> bool | None:
    """Return whether a zip's data tell that it was trained in a ``VecNormalize``; None if they do not tell.

    SB3 keeps the last observation twice in one: scaled, and as it was. Off-policy algorithms keep it twice anyway, and
    a model that never trained has none.
    """
    if algorithm in OFF_POLICY or data.get("_last_obs") is None or "_last_original_obs" not in data:
        return None
    return data["_last_original_obs"] is not None


def read(path: Path, space: spaces.Space) -> Belonging:
    """Return the normaliser in a file, made for observations of this space.

    Raises:
        SourceError: It is broken, something else, or made for other observations.
    """
    kinds.expect(path, kinds.NORMALIZER)
    found = vecnormalize.flatten_goal(vecnormalize.read(path), space)
    found.check(space, str(path))
    return Belonging(found, path)


def beside(path: Path, parts: Parts) -> Belonging | None:
    """Return the normaliser that lies beside the zip at `path`, or None if it was trained without.

    One under a usual name is the zip's. One under another name is, if the zip was trained with a normaliser and no
    other fits; nothing is guessed beyond that.

    Raises:
        SourceError: There is none although the zip was trained with one, or it does not follow which one it is, or
            whether one belongs to it at all.
    """
    usual = sidecar.normalizer(path)
    return _under_another_name(path, parts) if usual is None else _under_a_usual_name(path, usual, parts)


def _under_a_usual_name(path: Path, usual: Path, parts: Parts) -> Belonging:
    found = read(usual, parts.blueprint.observation_space)
    if parts.origin.normalized is False:
        raise SourceError(
            f"{path}: was trained without a normaliser, by what is in it, but {usual.name} lies beside it; "
            f"{_flag('none')} goes without, {_flag('PATH')} takes it."
        )
    return found


def _under_another_name(path: Path, parts: Parts) -> Belonging | None:
    scaled = sidecar.normalized(parts.origin.config)
    wrapped = scaled or parts.origin.normalized
    others = [] if wrapped is False else list(others_beside(path, parts.blueprint.observation_space))
    if wrapped and len(others) == 1:
        warnings.warn(
            f"{path}: {others[0].path}, the only normaliser beside it, is taken as its own; "
            f"{_flag('PATH')} names another.",
            stacklevel=2,
        )
        return others[0]
    # Where a config says that observations were not scaled, one that is not there scaled rewards alone.
    missed = wrapped and scaled is not False
    doubted = others and (wrapped or scaled is None)
    if missed or doubted:
        raise SourceError(f"{path}: {_doubt(others, wrapped)}")
    return None


def others_beside(path: Path, space: spaces.Space) -> Iterator[Belonging]:
    """Yield the normalisers beside a zip under names of the user's own that fit the observations, by name.

    Raises:
        SourceError: One is broken.
    """
    places = (folder for folder in sidecar.folders(path) if os.access(folder, os.R_OK | os.X_OK))
    files = (file for folder in places if folder.is_dir() for file in sorted(folder.iterdir()))
    for file in itertools.islice(files, _MOST_FILES):
        if not (file.is_file() and _begins_as_one(file)):
            continue
        found = vecnormalize.flatten_goal(vecnormalize.read(file), space)
        if found.fits(space):
            yield Belonging(found, file)


def _begins_as_one(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return is_normalizer(opened.read(_BEGINNING))
    except OSError:
        return False  # It may not be read.


def _doubt(others: list[Belonging], wrapped: bool | None) -> str:
    names = " and ".join(other.path.name for other in others[:4] if other.path) + (" and more" if others[4:] else "")
    if not others:
        return (
            "was trained on normalised observations, but no vecnormalize.pkl lies beside it, nor one under another "
            f"name; {_flag('PATH')} names it, {_flag('none')} goes without, as one that scaled rewards alone may."
        )
    if wrapped:
        return f"was trained on normalised observations, and {names} beside it each fit; {_flag('PATH')} names its own."
    return (
        f"does not tell whether it was trained on normalised observations, and {names} beside it would fit; "
        f"{_flag('PATH')} takes one, {_flag('none')} goes without."
    )


def _flag(value: str) -> str:
    return f"--normalizer {value} (normalizer={value.title() if value == 'none' else value} in Python)"
