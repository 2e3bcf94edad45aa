"""A replay buffer of the old training, put into the model that continues it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate import checkpoint
from acclimate.errors import ConfigError, SourceError
from acclimate.sources import replay


def carry(model: BaseAlgorithm, path: str) -> int:
    """Fill a model's replay buffer from a file, and return the number of transitions.

    Args:
        model: An off-policy model with an empty buffer.
        path: SB3's `replay_buffer.pkl`, or the `replay.npz` of a checkpoint.

    Raises:
        SourceError: The file cannot be read, or its transitions are of another world than the model's.
        ConfigError: The model's buffer is too small, or for another number of environments.
    """
    found = replay.read(Path(path))
    wanted = checkpoint.replay_state(model) or {}
    length, n_envs = found["dones"].shape[:2]
    buffer = model.replay_buffer  # type: ignore[attr-defined]
    if n_envs != buffer.n_envs:
        raise ConfigError(
            f"{path}: recorded in {n_envs} environments, and the training has {buffer.n_envs}: set n_envs to {n_envs}."
        )
    if length > buffer.buffer_size:
        raise ConfigError(
            f"{path}: holds {length * n_envs} transitions, and the model's buffer {buffer.buffer_size * n_envs}: set "
            f"algorithm.buffer_size to {length * n_envs} or more."
        )
    for name in sorted((found.keys() | wanted.keys()) - {"pos", "full"}):
        held, needed = found.get(name), wanted.get(name)
        if held is None or needed is None or not _fits(held, needed):
            raise SourceError(
                f"{path}: its {name} are {_kind(held)}, and the agent's {_kind(needed)}: give the buffer of this "
                "agent's own training."
            )
    end = {"pos": np.array(length % buffer.buffer_size), "full": np.array(length == buffer.buffer_size)}
    checkpoint.restore_replay(model, {**found, **end})
    return length * n_envs


def _fits(held: np.ndarray, needed: np.ndarray) -> bool:
    # Before SB3 2.1, actions of 64 bits were kept as such.
    return held.shape[2:] == needed.shape[2:] and np.can_cast(held.dtype, needed.dtype, "same_kind")


def _kind(stored: np.ndarray | None) -> str:
    if stored is None:
        return "absent"
    return f"{stored.dtype.name} of shape {stored.shape[2:]}"
