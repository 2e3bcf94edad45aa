"""The one door by which agents come in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.agents.agent import Agent, Parts, assemble
from acclimate.errors import SourceError
from acclimate.formats import bundle_read as bundle
from acclimate.formats.sb3 import read as sb3
from acclimate.formats.sb3 import sidecar, vecnormalize
from acclimate.sb3.normalizer import Normalizer

if TYPE_CHECKING:
    import torch


def load(
    source: str | Path | BaseAlgorithm,
    *,
    normalizer: Literal["auto"] | str | Path | Normalizer | None = "auto",
    device: str | torch.device = "cpu",
    trust: bool = False,
    revision: str | None = None,
) -> Agent:
    """Return the pretrained agent that `source` holds; nothing in a file is executed.

    Args:
        source: A zip of Stable-Baselines3 or sb3-contrib, a run's folder (its ``bundle/``, else its zip), a
            folder that holds one zip, ``hf://org/repo`` or ``hf://org/repo/file.zip``, or a live SB3 model,
            which is copied.
        normalizer: ``"auto"`` finds the statistics of its observations beside it; a path or a `Normalizer`
            gives them; None says that it needs none.
        device: Where its networks live.
        trust: Open the file with SB3's own loader, which runs whatever code the file holds. Only for files
            whose origin you know.
        revision: The branch, tag or commit of a Hub repository.

    Raises:
        UnsafeFileError: The file asks for something that a safe reader must not do.
        SourceError: It cannot be read, or needs a normaliser that is not there.

    Example:
        >>> load("no-such-agent.zip")
        Traceback (most recent call last):
        acclimate.errors.SourceError: no-such-agent.zip: no such file; check the path.
    """
    if isinstance(source, BaseAlgorithm):
        from acclimate.formats.sb3 import live

        return _load_live(live.read(source), source, normalizer, device)
    if str(source).startswith("hf://"):
        from acclimate.formats import hub

        path, commit = hub.fetch(str(source), revision=revision)
        return _load_zip(path, normalizer, device, trust, commit)
    path = Path(source).expanduser()
    for folder in () if trust else (path / "bundle", path):
        if (folder / bundle.MANIFEST).is_file():
            parts, found = bundle.read(folder)
            return assemble(parts, normalizer=_given(normalizer, found, parts), device=device)
    return _load_zip(_one_zip(path), normalizer, device, trust, None)


def _load_zip(path: Path, normalizer: Any, device: Any, trust: bool, revision: str | None) -> Agent:
    if trust:
        from acclimate.formats.sb3 import trusted

        parts = trusted.read(path)
    else:
        parts = sb3.read(path)
    if revision is not None:
        parts = parts.from_revision(revision)
    beside = sidecar.normalizer(path) if isinstance(normalizer, str) and normalizer == "auto" else None
    found = None if beside is None else _read_normalizer(beside, parts)
    if beside is None and normalizer == "auto" and sidecar.needs_normalizer(parts.origin.config):
        raise SourceError(
            f"{path}: was trained on normalised observations, but no vecnormalize.pkl lies beside it; "
            "give its path as normalizer=, or normalizer=None to go without."
        )
    return assemble(parts, normalizer=_given(normalizer, found, parts), device=device)


def _load_live(parts: Parts, model: BaseAlgorithm, normalizer: Any, device: Any) -> Agent:
    vec = model.get_vec_normalize_env()
    found = None if vec is None else Normalizer.from_vec_normalize(vec)
    return assemble(parts, normalizer=_given(normalizer, found, parts), device=device)


def _given(normalizer: Any, found: Normalizer | None, parts: Parts) -> Normalizer | None:
    """Return the normaliser that the caller wants: what was found, what was given, or none."""
    if normalizer is None or isinstance(normalizer, Normalizer):
        return normalizer
    return found if normalizer == "auto" else _read_normalizer(Path(normalizer).expanduser(), parts)


def _read_normalizer(path: Path, parts: Parts) -> Normalizer:
    found = vecnormalize.flatten_goal(vecnormalize.read(path), parts.blueprint.observation_space)
    found.check(parts.blueprint.observation_space, str(path))
    return found


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
