"""Checkpoints: all that a killed run needs to go on, written whole or not at all and read without unpickling."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.vec_env import VecNormalize

from acclimate.config import atomic_folder, recover_folder
from acclimate.errors import SourceError
from acclimate.formats.sb3.replay import NAMES
from acclimate.runs.folder import CHECKPOINT
from acclimate.sb3.normalizer import Normalizer

_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, EOFError, UnpicklingError, BadZipFile)


@dataclass
class Checkpoint:
    """The state of a run between two environment steps. The environments themselves start new episodes."""

    progress: dict[str, Any]
    """JSON-able: counters, measurements, what was decided."""
    tensors: dict[str, Any]
    """Weights, optimizer states, normalisers, random states: tensors, numbers and containers of them."""
    replay: dict[str, np.ndarray] | None = None


def write(checkpoint: Checkpoint, run: Path) -> None:
    """Replace the run's checkpoint."""
    with atomic_folder(run / CHECKPOINT) as folder:
        (folder / "progress.json").write_text(json.dumps(checkpoint.progress), encoding="utf-8")
        torch.save(checkpoint.tensors, folder / "state.pt")
        if checkpoint.replay is not None:
            np.savez(folder / "replay.npz", **checkpoint.replay)


def read(run: Path) -> Checkpoint | None:
    """Return the run's checkpoint, None where it has none yet.

    Raises:
        SourceError: The checkpoint is damaged.
    """
    folder = run / CHECKPOINT
    recover_folder(folder)
    if not folder.exists():
        return None
    try:
        progress = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
        tensors = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        replay = None
        if (folder / "replay.npz").exists():
            with np.load(folder / "replay.npz", allow_pickle=False) as data:
                replay = {name: data[name] for name in data.files}
    except _UNREADABLE as error:
        raise SourceError(
            f"{folder} cannot be read ({type(error).__name__}): remove that folder, and the run starts anew."
        ) from error
    return Checkpoint(progress, tensors, replay)


def replay_state(model: BaseAlgorithm) -> dict[str, np.ndarray] | None:
    """Return the filled part of a replay buffer, None for on-policy algorithms."""
    buffer = getattr(model, "replay_buffer", None)
    if not isinstance(buffer, ReplayBuffer):
        return None
    end = buffer.buffer_size if buffer.full else buffer.pos
    state = {"pos": np.array(buffer.pos), "full": np.array(buffer.full)}
    for name in NAMES:
        stored = getattr(buffer, name, None)
        if isinstance(stored, dict):
            state |= {f"{name}/{key}": part[:end] for key, part in stored.items()}
        elif stored is not None:
            state[name] = stored[:end]
    return state


def restore_replay(model: BaseAlgorithm, state: dict[str, np.ndarray]) -> None:
    """Refill a replay buffer."""
    buffer = model.replay_buffer  # type: ignore[attr-defined]
    buffer.pos, buffer.full = int(state["pos"]), bool(state["full"])
    for name, values in state.items():
        if name in ("pos", "full"):
            continue
        attribute, _, key = name.partition("/")
        stored = getattr(buffer, attribute)
        (stored[key] if key else stored)[: len(values)] = values


def normalizer_state(normalizer: Normalizer | None) -> dict[str, Any] | None:
    """Return a normaliser's moving statistics as tensors."""
    if normalizer is None:
        return None
    moving = {name: getattr(normalizer, name) for name in _MOVING}
    return {name: _tensors(value) for name, value in moving.items()}


_MOVING = ("obs_mean", "obs_var", "obs_count", "ret_mean", "ret_var", "ret_count")


def restore_normalizer(wrapper: VecNormalize, state: dict[str, Any]) -> None:
    """Put moving statistics back into SB3's wrapper."""
    wrapper.ret_rms.mean, wrapper.ret_rms.var = state["ret_mean"].numpy(), state["ret_var"].numpy()
    wrapper.ret_rms.count = float(state["ret_count"])
    if not wrapper.norm_obs:
        return
    for key, statistics in _by_key(wrapper.obs_rms):
        for field in ("mean", "var", "count"):
            value = state[f"obs_{field}"]
            value = value if key is None else value[key]
            setattr(statistics, field, float(value) if field == "count" else value.numpy())


def read_normalizer(state: dict[str, Any] | None, like: Normalizer | None) -> Normalizer | None:
    """Return a normaliser with these statistics and the constants of another."""
    if state is None or like is None:
        return None
    return replace(like, **{name: _arrays(value, scalar=name in _SCALARS) for name, value in state.items()})


_SCALARS = ("obs_count", "ret_mean", "ret_var", "ret_count")


def random_state() -> dict[str, Any]:
    """Return the global random states that SB3 draws from."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "numpy": [kind, torch.as_tensor(keys.astype(np.int64)), position, has_gauss, cached],
    }


def restore_random(state: dict[str, Any]) -> None:
    """Put the global random states back."""
    torch.set_rng_state(state["torch"])
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))


def _by_key(statistics: Any) -> list[tuple[str | None, Any]]:
    return list(statistics.items()) if isinstance(statistics, dict) else [(None, statistics)]


def _tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tensors(part) for key, part in value.items()}
    return torch.as_tensor(np.asarray(value, dtype=np.float64))


def _arrays(value: Any, *, scalar: bool) -> Any:
    if isinstance(value, dict):
        return {key: _arrays(part, scalar=scalar) for key, part in value.items()}
    return float(value) if scalar else value.numpy()
