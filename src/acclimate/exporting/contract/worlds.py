"""What a task tells of itself that who runs a policy outside of it has to know."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import FrameStackObservation

from acclimate.config import to_dict
from acclimate.errors import ConfigError
from acclimate.exporting.contract.units import units
from acclimate.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class World:
    """What is known of it; None is not known."""

    name: str
    config: Any = None
    """The task as `Task.from_config` reads it."""
    rate_hz: float | None = None
    """How often a second it wants an action."""
    observation_names: tuple[str, ...] | None = None
    """Of the entries of an observation that is a vector, in order."""
    observation_units: tuple[str, ...] | None = None
    """Of the same entries, as MuJoCo has them; an empty one is not known."""
    joint_names: tuple[str, ...] | None = None
    """Of the joints that the entries of an action move, in order."""
    frames: int | None = None
    """How many observations in a row make up one, where the task stacks them; its oldest comes first."""


def facts(task: Task) -> World:
    """Return what a task tells.

    Raises:
        TaskError: It cannot be made.
    """
    try:
        config = to_dict(task) if isinstance(task.to_config(), str) else task.to_config()
    except ConfigError:  # an environment that is a callable
        config = None
    env = task.make()
    try:
        return World(
            name=task.describe(),
            config=config,
            rate_hz=_rate(env),
            observation_names=(names := _observed(env)),
            observation_units=None if names is None else units(env, names),
            joint_names=_joints(env),
            frames=_frames(env),
        )
    finally:
        env.close()


def _rate(env: gym.Env) -> float | None:
    """Return how often a second it is stepped: MuJoCo's and Pendulum's `dt`, CartPole's `tau`."""
    inner = env.unwrapped
    step = getattr(inner, "dt", None) or getattr(inner, "tau", None)
    known = isinstance(step, (int, float)) and math.isfinite(step) and step > 0
    return round(1.0 / step, 6) if known else None


def _observed(env: gym.Env) -> tuple[str, ...] | None:
    """Return the names of the entries, where the parts that it tells of make up the observation."""
    structure = getattr(env.unwrapped, "observation_structure", None)
    if not isinstance(structure, Mapping):
        return None
    parts = {name: size for name, size in structure.items() if isinstance(size, int) and "skipped" not in name}
    names = tuple(f"{name}[{index}]" for name, size in parts.items() for index in range(size))
    return names if env.observation_space.shape == (len(names),) else None


def _joints(env: gym.Env) -> tuple[str, ...] | None:
    """Return the joints of a MuJoCo model's actuators, where each action is one of them and each moves a joint."""
    model = getattr(env.unwrapped, "model", None)
    kinds = getattr(model, "actuator_trntype", None)
    if model is None or kinds is None or env.action_space.shape != (len(kinds),) or any(kinds != 0):
        return None
    return tuple(str(model.joint(int(joint)).name) for joint, _ in model.actuator_trnid)


def _frames(env: gym.Env) -> int | None:
    """Return how many observations Gymnasium's wrapper puts together."""
    inner = env
    while isinstance(inner, gym.Wrapper):
        if isinstance(inner, FrameStackObservation):
            return int(inner.stack_size)
        inner = inner.env
    return None
