"""The call that writes an agent as a file for others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from acclimate.agents.agent import Agent
from acclimate.agents.load import load
from acclimate.errors import ConfigError, ExportError, MisfitError, suggest
from acclimate.exporting import hub, weights
from acclimate.exporting.contract.contract import BESIDE, Contract
from acclimate.exporting.graph.writing import onnx_of
from acclimate.exporting.keras import keras_of
from acclimate.files.atomic import write_atomic
from acclimate.files.bounded import read_text
from acclimate.files.plain import read_json
from acclimate.formats import writers
from acclimate.guard.guard import Guard
from acclimate.guard.guarded import Controller, Guarded
from acclimate.guard.saved import load as load_guard
from acclimate.tasks.task import Task

Form = Literal["onnx", "safetensors", "sb3", "keras", "hub"]
ENDINGS = {"onnx": ".onnx", "safetensors": ".safetensors", "sb3": ".zip", "keras": ".keras", "hub": ""}


def export(
    agent: Agent | str | Path,
    path: str | Path,
    *,
    to: Form = "onnx",
    task: Task | None = None,
    guard: Guard | str | Path | None = None,
    other: Agent | str | Path | None = None,
    channels_last: bool = True,
    license: str | None = None,
    like: str | Path | None = None,
) -> Path:
    """Write an agent as a file that others run, and return where it is.

    Args:
        agent: An agent, or what `load` takes: a zip, or a run's folder.
        path: Of the file, with or without its ending; of a folder for ``hub``.
        to: ``onnx`` is one graph from raw observations to actions, with its contract in it and as ``contract.json``
            beside it; ``safetensors`` the weights with the same contract; ``sb3`` a zip with ``vecnormalize.pkl``;
            ``keras`` the model of `like` with other weights; ``hub`` a folder to upload, with a model card.
        task: In which it acts. It tells the rate and the names of joints, and what it shows is what the graph is held
            to, beside observations drawn from the agent's space.
        guard: Put before the policy in the graph, or the file that holds it; for ``onnx`` and ``hub``. Its state is an
            input and an output then, and what it refused is told.
        other: What acts where the guard's fallback is ``other``. Without it the caller gives those actions, as an
            input of the graph.
        channels_last: Whether images come as (height, width, channels), as most environments give them.
        license: Of the model, as the Hub names it (``mit``, ``apache-2.0``); ``hub`` needs it.
        like: A model that Keras saved, with the agent's structure: what it was loaded from, policy or value.

    Raises:
        ExportError: The file cannot be written, does not act as the agent, or an extra is not installed.
        MisfitError: The form cannot hold this agent.
        ConfigError: There is no such form, or an argument that it does not take; the guard is another agent's.
        SourceError: The guard's file cannot be read.
        TaskError: The task's environment cannot be made or stepped.
    """
    _check(to, license, like)
    agent = agent if isinstance(agent, Agent) else load(agent)
    guarded = _guarded(agent, guard, other, to)
    target = _target(Path(path).expanduser(), to, ".h5" if str(like).endswith(".h5") else ENDINGS[to])
    if to == "sb3":
        return writers.save(agent, target)
    if like is not None:
        return _put(target, keras_of(agent, Path(like).expanduser()))
    if to == "hub":
        return hub.write(agent, target, task=task, guarded=guarded, channels_last=channels_last, license=license)
    if to == "safetensors":
        return _written(target, lambda: weights.safetensors_of(agent, task=task, channels_last=channels_last))
    return _written(target, lambda: onnx_of(agent, task=task, guarded=guarded, channels_last=channels_last))


def _check(to: str, license: str | None, like: str | Path | None) -> None:
    """Check that there is such a form, and that it takes what is given."""
    if to not in ENDINGS:
        raise ConfigError(f"no form `{to}`. {suggest(str(to), ENDINGS)}")
    if license is not None and to != "hub":
        raise ConfigError(f"`license` is for the card of a folder for the Hub, and `{to}` has none; leave it out")
    if (like is None) == (to == "keras"):
        raise ConfigError("`like` names the model of Keras whose structure `keras` writes, and no other form takes it")


def _guarded(
    agent: Agent, guard: Guard | str | Path | None, other: Agent | str | Path | None, to: str
) -> Guarded | None:
    """Return the agent behind its guard, if it is to have one."""
    if guard is None:
        if other is not None:
            raise ConfigError("`other` acts where a guard refuses, and there is none; give `guard` as well")
        return None
    if to not in ("onnx", "hub"):
        raise ConfigError(f"`{to}` holds no guard; export it to onnx, or keep the guard's own file beside it")
    guard = guard if isinstance(guard, Guard) else load_guard(guard)
    acts: Agent | Controller | None = load(other) if isinstance(other, (str, Path)) else other
    if acts is None and guard.release.fallback == "other":
        acts = _asked
    return Guarded(agent, guard, acts)


def _asked(observations: Any) -> Any:
    """Stand for a controller, whose actions are an input of the graph."""
    raise ExportError("the controller's actions come from the caller of the graph")


def _target(path: Path, to: str, ending: str) -> Path:
    """Return the path with the ending of its form."""
    if not ending or path.suffix == ending:
        return path
    if path.suffix in ENDINGS.values() and path.suffix:
        raise MisfitError(f"{path}: `{to}` is written as {ending}; name it {path.with_suffix(ending).name}")
    return path.with_name(path.name + ending)


def _written(path: Path, make: Callable[[], tuple[bytes, Contract]]) -> Path:
    """Write a file and the contract beside it, once both are there."""
    beside = path.with_name(BESIDE)
    _not_anothers(beside, path)
    data, contract = make()
    about = {"file": {"name": path.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
        write_atomic(beside, json.dumps({**about, **json.loads(contract.to_json())}, indent=1))
    except (ConfigError, OSError) as error:
        raise ExportError(str(error)) from error
    return path


def _put(path: Path, data: bytes) -> Path:
    """Write a file that needs none beside it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
    except (ConfigError, OSError) as error:
        raise ExportError(str(error)) from error
    return path


def _not_anothers(beside: Path, path: Path) -> None:
    """Refuse to replace the contract of another file."""
    try:
        known: Any = read_json(read_text(beside))
    except (OSError, ValueError):
        known = None
    name = (
        known.get("file", {}).get("name") if isinstance(known, dict) and isinstance(known.get("file"), dict) else None
    )
    if beside.exists() and not (isinstance(name, str) and (name == path.name or not path.with_name(name).exists())):
        raise ExportError(
            f"{beside}: is the contract of {name or 'something else'}, which this would replace; choose another folder"
        )
