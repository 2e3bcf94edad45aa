"""Which reader takes a source, and what it finds there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.errors import ConfigError, SourceError
from acclimate.formats import bundle, hub, kinds
from acclimate.formats.foreign import assembling, foreign
from acclimate.formats.foreign.plain import Spec
from acclimate.formats.sb3 import belonging, live, trusted
from acclimate.formats.sb3 import read as sb3
from acclimate.formats.sb3.belonging import Belonging
from acclimate.sb3.blueprint import Blueprint
from acclimate.sb3.normalizer import Normalizer
from acclimate.sb3.parts import Origin, Parts
from acclimate.tasks.spaces import HasSpaces


@dataclass(frozen=True)
class Found:
    """An agent's parts, and how to get the normaliser that belongs to them."""

    parts: Parts
    beside: Callable[[], Belonging | None]
    """Reads what lies beside the agent: only where it is wanted, as a broken one must not stop who gives another."""


def read(
    source: str | Path | BaseAlgorithm,
    *,
    trust: bool = False,
    revision: str | None = None,
    world: HasSpaces | None = None,
    spec: Spec | None = None,
    critic: str | Path | None = None,
) -> Found:
    """Return what is at a source, by the first reader that takes it.

    Args:
        source: a live model, an address or a path.
        trust: whether SB3's own loader may run what a zip holds.
        revision: of a repository on the Hub.
        world: what an agent of another framework sees and does, where its file tells no spaces.
        spec: which layers of a file of weights are which.
        critic: its value network, in a file of its own.

    Raises:
        ConfigError: There is a spec and no world.
        SpaceMismatchError: Its networks are of other spaces than the world's.
        UnsafeFileError: A file asks for something that a safe reader must not do.
        SourceError: It cannot be read.
    """
    if spec is not None and world is None:
        raise ConfigError("a spec is for a file that tells no spaces; name its environment too (`world`, --env)")
    if world is not None and (elsewhere := _foreign(source, world, spec, critic)) is not None:
        return elsewhere
    if critic is not None:
        raise SourceError(f"{critic}: a critic is added to a policy of Keras alone, whose environment is named too")
    return next(found for reader in READERS if (found := reader(source, trust, revision)) is not None)


def like(blueprint: Blueprint, path: Path) -> Found:
    """Return what is in a zip of an agent that is known to be built so.

    Raises:
        SourceError: It cannot be read.
    """
    parts = sb3.read(path, blueprint)
    return Found(parts, lambda: belonging.beside(path, parts))


def _live(source: Any, trust: bool, revision: str | None) -> Found | None:
    if not isinstance(source, BaseAlgorithm):
        return None
    vec = source.get_vec_normalize_env()
    return Found(live.read(source), lambda: None if vec is None else Belonging(Normalizer.from_vec_normalize(vec)))


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
    parts, normalizer = bundle.read(folder)
    return Found(parts, lambda: None if normalizer is None else Belonging(normalizer))


def _foreign(source: Any, world: HasSpaces, spec: Spec | None, critic: str | Path | None) -> Found | None:
    """Return an agent of another framework, None where the source is something else."""
    if isinstance(source, BaseAlgorithm) or str(source).startswith("hf://"):
        return None
    path = Path(source).expanduser()
    if not path.is_file():
        return None
    held = foreign.read(path, spec, None if critic is None else Path(critic).expanduser())
    if held is None:
        return None
    found, sha256 = held
    parts = assembling.parts(found, world.observation_space, world.action_space, Origin(str(path), sha256))
    normalizer = assembling.normalizer(found)
    return Found(parts, lambda: None if normalizer is None else Belonging(normalizer))


def _zip(source: Any, trust: bool, revision: str | None) -> Found:
    path = _one_zip(Path(source).expanduser())
    kinds.expect(path, kinds.AGENT)
    parts = (trusted if trust else sb3).read(path)
    return Found(parts, lambda: belonging.beside(path, parts))


READERS: tuple[Callable[[Any, bool, str | None], Found | None], ...] = (_live, _hub, _bundle, _zip)
"""In the order in which they are asked; the last one takes or refuses what is left."""


def _one_zip(path: Path) -> Path:
    """Return the file at a path, which may lack its ending, or the one zip that a folder is about, if it has any."""
    if not path.is_dir():
        for candidate in (path, path.with_name(f"{path.name}.zip")):
            if candidate.is_file() or candidate.is_symlink():
                return candidate
        raise SourceError(f"{path}: no such file; check the path.")
    folder = path
    found = sorted(folder.glob("*.zip"))
    run = folder / "agent.zip"
    if run in found:
        return run
    if len(found) == 1:
        return found[0]
    if not found:
        return folder
    names = ", ".join(path.name for path in found[:5])
    raise SourceError(f"{folder}: holds {len(found)} zips ({names}); name one of them.")
