"""What a replay buffer begins with: transitions of the old training, or steps that were played before this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.preprocessing import maybe_transpose

from acclimate.errors import ConfigError, SourceError
from acclimate.evaluation.transitions import Transitions
from acclimate.formats import kinds
from acclimate.formats.sb3 import replay
from acclimate.formats.sb3.replay import NAMES
from acclimate.sb3.hindsight import find_episodes, keeps_infos


def carry(model: BaseAlgorithm, path: str) -> int:
    """Fill a model's replay buffer from a file, and return the number of transitions.

    Args:
        model: An off-policy model with an empty buffer.
        path: SB3's `replay_buffer.pkl`, or the `replay.npz` of a checkpoint.

    Raises:
        SourceError: The file cannot be read, or its transitions are of another world than the model's.
        ConfigError: The model's buffer is too small, or for another number of environments.
    """
    kinds.expect(Path(path), kinds.BUFFER)
    found = replay.read(Path(path))
    wanted = replay_state(model) or {}
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
    restore_replay(model, {**found, **end})
    return length * n_envs


def _fits(held: np.ndarray, needed: np.ndarray) -> bool:
    # Before SB3 2.1, actions of 64 bits were kept as such.
    return held.shape[2:] == needed.shape[2:] and np.can_cast(held.dtype, needed.dtype, "same_kind")


def _kind(stored: np.ndarray | None) -> str:
    if stored is None:
        return "absent"
    return f"{stored.dtype.name} of shape {stored.shape[2:]}"


def store(model: BaseAlgorithm, steps: Transitions) -> int:
    """Add steps that were played outside of the training to a model's replay buffer, and return how many.

    They are stored as SB3 stores its own: raw observations and rewards, actions in the policy's units, and an end by
    the time limit told from a terminal state. With several environments each takes an equal stretch of them, and what
    cannot be shared out equally is left over.

    Args:
        model: An off-policy model.
        steps: Of an agent with the model's spaces.
    """
    buffer, rows = model.replay_buffer, list(steps)  # type: ignore[attr-defined]
    length = len(rows) // buffer.n_envs
    for index in range(length):
        now = rows[index : length * buffer.n_envs : length]
        # Where a stretch is cut, what follows in its column is of another episode.
        cut = [(step.truncated or index == length - 1) and not step.terminated for step in now]
        buffer.add(
            _seen(model, [step.observation for step in now]),
            _seen(model, [step.following for step in now]),
            _own_units(model, np.stack([step.action for step in now])),
            np.array([step.reward for step in now]),
            np.array([step.terminated or over for step, over in zip(now, cut, strict=True)]),
            [{"TimeLimit.truncated": over} for over in cut],
        )
    return length * buffer.n_envs


def _seen(model: BaseAlgorithm, observations: list[Any]) -> Any:
    """Return a batch as the model's own environments hand it out, images with their channels first."""
    space = model.observation_space
    if isinstance(space, spaces.Dict):
        return {
            key: maybe_transpose(np.stack([seen[key] for seen in observations]), part) for key, part in space.items()
        }
    return maybe_transpose(np.stack(observations), space)


def _own_units(model: BaseAlgorithm, actions: np.ndarray) -> np.ndarray:
    return model.policy.scale_action(actions) if isinstance(model.action_space, spaces.Box) else actions


def replay_state(model: BaseAlgorithm) -> dict[str, np.ndarray] | None:
    """Return the filled part of a replay buffer, None where there is none that arrays could hold."""
    buffer = getattr(model, "replay_buffer", None)
    if not isinstance(buffer, ReplayBuffer) or keeps_infos(buffer):
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
    """Refill a replay buffer.

    Raises:
        ValueError: The arrays are not those of this buffer.
    """
    buffer = model.replay_buffer  # type: ignore[attr-defined]
    _check(state, replay_state(model) or {}, buffer.buffer_size)
    buffer.pos, buffer.full = int(state["pos"]), bool(state["full"])
    for name, values in state.items():
        if name in ("pos", "full"):
            continue
        attribute, _, key = name.partition("/")
        stored = getattr(buffer, attribute)
        (stored[key] if key else stored)[: len(values)] = values
    find_episodes(buffer)


def _check(state: dict[str, np.ndarray], own: dict[str, np.ndarray], size: int) -> None:
    if state.keys() != own.keys() or state["pos"].ndim or state["full"].ndim:
        raise ValueError(f"its arrays are not {', '.join(own)}")
    pos, length = int(state["pos"]), size if state["full"] else int(state["pos"])
    if not 0 <= pos <= size:
        raise ValueError(f"it goes on at place {pos} of {size}")
    for name in own.keys() - {"pos", "full"}:
        held, wanted = state[name], own[name]
        if len(held) != length or held.shape[1:] != wanted.shape[1:] or not _fits(held, wanted):
            raise ValueError(f"its {name} are {len(held)} of {_kind(held)}")
