"""The one door by which agents come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.agents.agent import Agent
from acclimate.formats import readers
from acclimate.formats.foreign.plain import Spec
from acclimate.formats.sb3 import belonging
from acclimate.formats.sb3.belonging import Belonging
from acclimate.sb3.blueprint import Blueprint
from acclimate.sb3.normalizer import Normalizer
from acclimate.tasks.spaces import HasSpaces


def load(
    source: str | Path | BaseAlgorithm,
    *,
    normalizer: Literal["auto"] | str | Path | Normalizer | None = "auto",
    device: str | torch.device = "cpu",
    trust: bool = False,
    revision: str | None = None,
    world: HasSpaces | None = None,
    spec: Spec | str | Path | None = None,
    critic: str | Path | None = None,
) -> Agent:
    """Return the pretrained agent that `source` holds; nothing in a file is executed.

    Args:
        source: A zip of Stable-Baselines3 or sb3-contrib, a run's folder (its ``bundle/``, else its zip), a
            folder that holds one zip, ``hf://org/repo`` or ``hf://org/repo/file.zip``, or a live SB3 model,
            which is copied; with its `world` what CleanRL, rsl_rl or Keras saved, networks of ONNX, and weights with a
            `spec`.
        normalizer: ``"auto"`` finds the statistics of its observations beside it; a path or a `Normalizer`
            gives them; None says that it needs none.
        device: Where its networks live.
        trust: Open the file with SB3's own loader, which runs whatever code the file holds. Only for files
            whose origin you know.
        revision: The branch, tag or commit of a Hub repository.
        world: A `Task`, say, whose spaces are those of an agent of another framework: its file tells none.
        spec: Which layers of a file of weights are which, or the YAML file that says so.
        critic: The value network of an agent of Keras, where it has a file of its own.

    Raises:
        SpaceMismatchError: Its networks are of other spaces.
        UnsafeFileError: The file asks for something that a safe reader must not do.
        SourceError: It cannot be read, or needs a normaliser that is not there.

    Example:
        >>> load("no-such-agent.zip")
        Traceback (most recent call last):
        acclimate.errors.SourceError: no-such-agent.zip: no such file; check the path.
    """
    layers = Spec.load(spec) if isinstance(spec, (str, Path)) else spec
    found = readers.read(source, trust=trust, revision=revision, world=world, spec=layers, critic=critic)
    chosen, parts = _chosen(normalizer, found), found.parts
    if chosen is None:
        return Agent.of(parts, None, device)
    return Agent.of(parts.normalized_by(chosen.path) if chosen.path else parts, chosen.normalizer, device)


def load_like(blueprint: Blueprint, path: Path, *, device: str | torch.device = "cpu") -> Agent:
    """Return the agent in a zip that is built like one at hand: no class is asked of the file, nothing is executed.

    Raises:
        SourceError: It cannot be read, or holds another network's weights.
    """
    found = readers.like(blueprint, path)
    beside = found.beside()
    return Agent.of(found.parts, None if beside is None else beside.normalizer, device)


def _chosen(normalizer: Any, found: readers.Found) -> Belonging | None:
    """Return the normaliser that the caller wants: what lies beside the agent, what was given, or none."""
    if normalizer is None:
        return None
    if isinstance(normalizer, Normalizer):
        return Belonging(normalizer)
    if normalizer == "auto":
        return found.beside()
    return belonging.read(Path(normalizer).expanduser(), found.parts.blueprint.observation_space)
