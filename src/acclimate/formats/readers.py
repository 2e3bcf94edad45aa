"""Which reader takes a source, and what it finds there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.errors import SourceError
from acclimate.formats import bundle, hub
from acclimate.formats.sb3 import live, sidecar, trusted, vecnormalize
from acclimate.formats.sb3 import read as sb3
from acclimate.sb3.normalizer import Normalizer
from acclimate.sb3.parts import Parts


@dataclass(frozen=True)
class Found:
    """An agent's parts, and how to get the normaliser that belongs to them."""

    parts: Parts
    beside: Callable[[], Normalizer | None]
    """Reads what lies beside the agent: only where it is wanted, as a broken one must not stop who gives another."""


def read(source: str | Path | BaseAlgorithm, *, trust: bool = False, revision: str | None = None) -> Found:
    """Return what is at a source, by the first reader that takes it.

    Args:
        source: a live model, an address or a path.
        trust: whether SB3's own loader may run what a zip holds.
        revision: of a repository on the Hub.

    Raises:
        UnsafeFileError: A file asks for something that a safe reader must not do.
        SourceError: It cannot be read.
    """
    return next(found for reader in READERS if (found := reader(source, trust, revision)) is not None)


def normalizer(path: Path, parts: Parts) -> Normalizer:
    """Return the normaliser in a file, made for these parts.

    Raises:
        SourceError: It is broken, or made for other observations.
    """
    found = vecnormalize.flatten_goal(vecnormalize.read(path), parts.blueprint.observation_space)
    found.check(parts.blueprint.observation_space, str(path))
    return found


def _live(source: Any, trust: bool, revision: str | None) -> Found | None:
    if not isinstance(source, BaseAlgorithm):
        return None
    vec = source.get_vec_normalize_env()
    return Found(live.read(source), lambda: None if vec is None else Normalizer.from_vec_normalize(vec))


def _hub(source: Any, trust: bool, revision: str | None) -> Found | None:
    if not str(source).startswith("hf://"):
        return None
    path, commit = hub.fetch(str(source), revision=revision)
    found = _zip(path, trust, commit)
    return Found(found.parts.from_revision(commit), found.beside)


def _bundle(source: Any, trust: bool, revision: str | None) -> Found | None:
    path = Path(source).expanduser()
    folders = () if trust else (path / "bundle", path)
    folder = next((folder for folder in folders if (folder / bundle.MANIFEST).is_file()), None)
    if folder is None:
        return None
    parts, beside = bundle.read(folder)
    return Found(parts, lambda: beside)


def _zip(source: Any, trust: bool, revision: str | None) -> Found:
    path = _one_zip(Path(source).expanduser())
    parts = (trusted if trust else sb3).read(path)
    return Found(parts, lambda: _beside(path, parts))


READERS: tuple[Callable[[Any, bool, str | None], Found | None], ...] = (_live, _hub, _bundle, _zip)
"""In the order in which they are asked; the last one takes or refuses what is left."""


def _beside(path: Path, parts: Parts) -> Normalizer | None:
    beside = sidecar.normalizer(path)
    if beside is not None:
        return normalizer(beside, parts)
    if sidecar.needs_normalizer(parts.origin.config):
        raise SourceError(
            f"{path}: was trained on normalised observations, but no vecnormalize.pkl lies beside it; "
            "give its path as normalizer=, or normalizer=None to go without."
        )
    return None


def _one_zip(path: Path) -> Path:
    """Return the zip at a path, which may lack its ending, or the one that a folder is about."""
    if not path.is_dir():
        for candidate in (path, path.with_name(f"{path.name}.zip")):
            if candidate.is_file():
                return candidate
        raise SourceError(f"{path}: no such file; check the path.")
    folder = path
    found = sorted(folder.glob("*.zip"))
    run = folder / "agent.zip"
    if run in found:
        return run
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found[:5])
    raise SourceError(
        f"{folder}: holds {len(found)} zips ({names}); name one of them."
        if found
        else f"{folder}: holds no agent (no bundle/, no zip); check the path."
    )
