"""An agent as a folder of safetensors and JSON: no pickle, every file with its hash.

``manifest.json`` holds the blueprint, the methods that the networks carry, by name, the origin, the settings of the
normaliser and, for each file, its size and SHA-256; ``weights.safetensors`` the networks; ``state.safetensors`` the
optimizers' moments and the other tensors of training; ``normalizer.safetensors`` the statistics.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
import torch

from acclimate.errors import ExportError
from acclimate.files.atomic import atomic_folder
from acclimate.registry import METHODS

if TYPE_CHECKING:
    from acclimate.agents.agent import Agent
    from acclimate.sb3.normalizer import Normalizer

FORMAT = "acclimate-bundle"
VERSION = 1
MANIFEST, WEIGHTS, STATE, STATISTICS = (
    "manifest.json",
    "weights.safetensors",
    "state.safetensors",
    "normalizer.safetensors",
)


def save(agent: Agent, folder: Path) -> Path:
    """Write the agent's bundle as `folder`, whole or not at all, and return it.

    Raises:
        ExportError: It holds a class that is no data, or the folder cannot be written.
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
        "blueprint": parts.blueprint.to_json(),
        "origin": dataclasses.asdict(parts.origin),
        "methods": [METHODS.config(method) for method in parts.methods],
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
    except OSError as error:
        raise ExportError(f"{folder}: cannot be written ({error.strerror or error}); choose another.") from error
    return folder


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
