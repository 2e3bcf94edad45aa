"""An agent as a folder of safetensors and JSON: no pickle, every file with its hash.

``manifest.json`` holds the blueprint, the methods that the networks carry, by name, the origin, the settings of the
normaliser and, for each file, its size and SHA-256; ``weights.safetensors`` the networks; ``state.safetensors`` the
optimizers' moments and the other tensors of training; ``normalizer.safetensors`` the statistics.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import safetensors
import safetensors.numpy
import safetensors.torch
import torch

from acclimate.config import convert
from acclimate.errors import ConfigError, ExportError, MisfitError, SourceError, UnsafeFileError
from acclimate.files import bounded
from acclimate.files.atomic import atomic_folder
from acclimate.files.bounded import MAX_TENSORS
from acclimate.files.plain import read_json
from acclimate.formats.saved import Saved
from acclimate.formats.sb3 import hyperparameters
from acclimate.registry import METHODS
from acclimate.sb3.blueprint import Blueprint
from acclimate.sb3.normalizer import Normalizer
from acclimate.sb3.parts import COUNTERS, OPTIMIZERS, RATES, VARIABLES, Origin, Parts
from acclimate.tasks.claims import MAX_ITEMS, MAX_TEXT, believed, plain
from acclimate.tuning.method import Method, stays

FORMAT = "acclimate-bundle"
VERSION = 1
MANIFEST, WEIGHTS, STATE, STATISTICS = (
    "manifest.json",
    "weights.safetensors",
    "state.safetensors",
    "normalizer.safetensors",
)


def save(agent: Saved, folder: Path) -> Path:
    """Write the agent's bundle as `folder`, whole or not at all, and return it.

    Raises:
        MisfitError: It holds a class that is no data, or a method that has no name.
        ExportError: The folder cannot be written, or a ConfigError.
    """
    parts = agent.parts()
    state, scalars = _flatten(parts.optimizers)
    state |= {f"variable/{name}": tensor for name, tensor in parts.variables.items()}
    contents = {WEIGHTS: _numbers(parts.weights), STATE: _numbers(state)}
    if agent.normalizer is not None:
        contents[STATISTICS] = _arrays(agent.normalizer)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        **_named(parts),
        "origin": dataclasses.asdict(parts.origin),
        "counters": dict(parts.counters),
        "optimizers": scalars,
        "normalizer": None if agent.normalizer is None else _settings(agent.normalizer),
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder) as temporary:
            for name, arrays in contents.items():
                safetensors.numpy.save_file(arrays, temporary / name)
            manifest["files"] = {name: _fingerprint(temporary / name) for name in contents}
            (temporary / MANIFEST).write_bytes(json.dumps(manifest, indent=2, default=str).encode())
    except (OSError, safetensors.SafetensorError) as error:
        raise ExportError(f"{folder}: cannot be written ({error}); choose another.") from error
    return folder


def _named(parts: Parts) -> dict[str, Any]:
    """Return the blueprint and the methods as data."""
    try:
        methods = [METHODS.config(method) for method in parts.methods]
        return {"blueprint": parts.blueprint.to_json(), "methods": methods}
    except (ConfigError, SourceError) as error:
        raise MisfitError(str(error)) from error


def _numbers(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.contiguous().numpy() for name, tensor in tensors.items()}


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _flatten(optimizers: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Split the states of optimizers into tensors and plain numbers, named by parameter and entry."""
    tensors: dict[str, torch.Tensor] = {}
    scalars: dict[str, Any] = {}
    for name, state in optimizers.items():
        scalars[name] = {
            "parameters": sum(len(group["params"]) for group in state["param_groups"]),
            "numbers": {},
        }
        for index, entries in state["state"].items():
            for key, value in entries.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"optimizer/{name}/{index}/{key}"] = value.detach().cpu()
                else:
                    scalars[name]["numbers"][f"{index}/{key}"] = value
    return tensors, scalars


def _settings(normalizer: Normalizer) -> dict[str, Any]:
    fields = {name: value for name, value in vars(normalizer).items() if name not in ("obs_mean", "obs_var")}
    return {**fields, "keys": list(normalizer.obs_mean) if isinstance(normalizer.obs_mean, dict) else None}


def _arrays(normalizer: Normalizer) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for field in ("obs_mean", "obs_var"):
        value = getattr(normalizer, field)
        pairs = value.items() if isinstance(value, dict) else [("", value)]
        found |= {f"{field}/{key}": np.ascontiguousarray(array).reshape(array.shape) for key, array in pairs}
    return found


_MAX_MANIFEST = 16 * 2**20


MAX_METHODS = 64
"""Methods that the networks of one agent carry at most: each run that it is tuned by adds a few."""


_BROKEN = (ConfigError, KeyError, TypeError, ValueError, AttributeError, safetensors.SafetensorError, RecursionError)


def read(folder: Path) -> tuple[Parts, Normalizer | None]:
    """Return the parts of the agent in a bundle, and its normaliser.

    Raises:
        UnsafeFileError: A file is not the one that was written.
        SourceError: It is broken, or no bundle.
    """
    try:
        manifest = read_json(_bytes(folder / MANIFEST, _MAX_MANIFEST).decode())
        if manifest["format"] != FORMAT or manifest["version"] != VERSION:
            raise SourceError(f"{folder}: is no bundle of version {VERSION}; load the zip beside it.")
        files = {name: _verified(folder, name, manifest["files"]) for name in (WEIGHTS, STATE)}
        weights = safetensors.torch.load(files[WEIGHTS])
        state = safetensors.torch.load(files[STATE])
        normalizer = None
        if manifest["normalizer"] is not None:
            arrays = safetensors.numpy.load(_verified(folder, STATISTICS, manifest["files"]))
            normalizer = _normalizer(manifest["normalizer"], arrays)
        blueprint, unread = _blueprint(manifest["blueprint"], folder)
        parts = Parts(
            blueprint=blueprint,
            weights=weights,
            optimizers={n: _optimizer(n, s, state) for n, s in manifest["optimizers"].items() if n in OPTIMIZERS},
            variables={n: state[f"variable/{n}"] for n in VARIABLES if f"variable/{n}" in state},
            counters={n: v for n, v in manifest["counters"].items() if _is_counter(n, v)},
            origin=_origin(manifest["origin"], folder, unread),
            methods=_methods(manifest.get("methods", []), folder),
        )
    except _BROKEN as error:
        raise SourceError(f"{folder}: broken bundle ({str(error)[:120]}); load the zip beside it.") from error
    return parts, normalizer


def _bytes(path: Path, limit: int) -> bytes:
    try:
        return bounded.read(path, limit)
    except ValueError as error:
        raise UnsafeFileError(f"{path}: {error}; refused.") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error}); load the zip beside it.") from error


def _verified(folder: Path, name: str, files: Mapping[str, Any]) -> bytes:
    data = _bytes(folder / name, MAX_TENSORS)
    if hashlib.sha256(data).hexdigest() != files[name]["sha256"]:
        raise UnsafeFileError(f"{folder / name}: is not the file that was written (its hash differs); copy it again.")
    return data


def _optimizer(name: str, scalars: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    prefix = f"optimizer/{name}/"
    found = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
    for key, value in {**scalars["numbers"], **found}.items():
        index, entry = key.split("/", 1)
        state.setdefault(int(index), {})[entry] = value
    return {"state": state, "param_groups": [{"params": list(range(min(scalars["parameters"], 10**5)))}]}


def _is_counter(name: str, value: Any) -> bool:
    if name in COUNTERS:
        return type(value) is int and 0 <= value < 2**53
    return name in RATES and type(value) in (int, float) and abs(value) < 2**53


def _methods(data: Any, folder: Path) -> tuple[Method, ...]:
    """Make the methods that the networks carry, by their registered names."""
    if not isinstance(data, list) or len(data) > MAX_METHODS:
        raise TypeError(f"methods is no list of at most {MAX_METHODS}")
    try:
        methods = tuple(METHODS.build(plain(item, "method"), f"methods[{at}]") for at, item in enumerate(data))
    except ConfigError as error:
        raise SourceError(f"{folder}: its networks carry methods that are not known here: {error}") from error
    for method in methods:
        if not stays(method):
            raise SourceError(f"{folder}: says that its networks carry `{method.name}`, which leaves nothing in them.")
    return methods


def _blueprint(data: Mapping[str, Any], folder: Path) -> tuple[Blueprint, list[tuple[str, str]]]:
    """Return how the agent is built, and which of its settings are not sound; SB3's own stand in for them."""
    try:
        described = Blueprint.from_json(data)
        _ = described.policy_class
    except SourceError as error:
        raise type(error)(f"{folder}: {error}") from error
    settings, unread = hyperparameters.sensible(described.algorithm, described.hyperparameters)
    return dataclasses.replace(described, hyperparameters=settings), unread


def _origin(data: Mapping[str, Any], folder: Path, unsound: Sequence[tuple[str, str]]) -> Origin:
    """Return where the agent came from: each field as what it is, and of its environment what is believed."""
    claims = believed(data.get("env_id"), data.get("config", {}))
    texts = {name: convert(str | None, plain(data.get(name), name), name) for name in ("sha256", "revision")}
    unread = convert(tuple[tuple[str, str], ...], data.get("unread", ()), "unread")
    return Origin(
        path=str(folder),
        env_id=claims.env_id,
        config=claims.config,
        versions=convert(dict[str, str], plain(data.get("versions", {}), "versions"), "versions"),
        steps=max(0, convert(int, data.get("steps", 0), "steps")),
        fresh=convert(bool, data.get("fresh", False), "fresh"),
        unread=(*((n[:MAX_ITEMS], why[:MAX_TEXT]) for n, why in unread[:MAX_ITEMS]), *unsound, *claims.refused),
        **texts,
    )


def _normalizer(settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Normalizer:
    """Make the normaliser: statistics from the arrays, numbers from the settings, each as what it is."""
    keys, hints = convert(list[str] | None, settings["keys"], "keys"), get_type_hints(Normalizer)
    fields = {
        n: convert(hints[n], value, n) for n, value in settings.items() if n not in ("keys", "obs_mean", "obs_var")
    }
    for name, array in arrays.items():
        least = 0.0 if name.startswith("obs_var") else -np.inf
        if array.dtype.kind != "f" or not (np.isfinite(array).all() and (array >= least).all()):
            raise ValueError(f"{name} holds what is no statistic")
    moments = {
        field: arrays[f"{field}/"] if keys is None else {key: arrays[f"{field}/{key}"] for key in keys}
        for field in ("obs_mean", "obs_var")
    }
    return Normalizer(**moments, **fields)
