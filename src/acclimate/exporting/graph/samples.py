"""Observations by which a graph is held to its agent: drawn from its space, and seen in its task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from acclimate.agents.agent import Agent
from acclimate.evaluation.players import isolated
from acclimate.exporting.contract.ports import OBSERVATION, Port, Ports, parts
from acclimate.sb3.normalizer import Normalizer
from acclimate.shifts.masks import choices, tells
from acclimate.tasks.contract import Contract
from acclimate.tasks.task import Task

Array = NDArray[Any]
Rows = Mapping[str, Array]
"""Raw observations by the names of their inputs, a row each."""

_ENDLESS = 1e6
"""A bound beyond it says nothing of what is seen; older environments write the largest float for none."""


def drawn(agent: Agent, ports: Ports, rows: int, *, seed: int) -> Rows:
    """Return observations drawn from the agent's space, where it has a normaliser within what that has seen."""
    rng, named = np.random.default_rng(seed), {port.name: port for port in ports.observations}
    found = {}
    for name, space in parts(agent.observation_space):
        seen = _drawn(space, rows, rng, _statistics(agent.normalizer, name))
        found[name] = arranged(seen, named[name])
    return found


def seen(agent: Agent, ports: Ports, task: Task, rows: int, *, seed: int) -> Rows:
    """Return what the environment shows to an agent that acts without drawing, one observation after another.

    Raises:
        TaskError: The environment cannot be made or stepped.
    """
    env = Contract(task.make(), task.describe())
    shown: list[Any] = []
    try:
        with isolated(agent, seed):
            observation, _ = env.reset(seed=seed)
            state, starts, masked = None, True, agent.masked and tells(env)
            while len(shown) < rows:
                shown.append(observation)
                mask = {"action_masks": env.allowed()} if masked else {}
                action, state = agent.predict(observation, state, np.array([starts]), deterministic=True, **mask)
                observation, _, terminated, truncated, _ = env.step(action)
                starts = bool(terminated or truncated)
                observation = env.reset()[0] if starts else observation
    finally:
        env.close()
    named = {port.name: port for port in ports.observations}
    return {name: arranged(np.stack([part_of(each, name) for each in shown]), port) for name, port in named.items()}


def part_of(observation: Any, name: str) -> Any:
    """Return what goes into the input of this name."""
    return observation if name == OBSERVATION else observation[name.removeprefix(f"{OBSERVATION}.")]


def arranged(seen: Array, port: Port) -> Array:
    """Return a batch of observations in the type and the layout of an input, images turned where it takes them so."""
    wanted = port.sized(len(seen))
    if seen.shape != wanted and seen.ndim == 4 and np.moveaxis(seen, 1, -1).shape == wanted:
        seen = np.moveaxis(seen, 1, -1)
    return np.ascontiguousarray(seen.reshape(wanted), dtype=port.dtype)


def whole(rows: Rows) -> Any:
    """Return a batch as the agent's `predict` takes it."""
    if OBSERVATION in rows:
        return rows[OBSERVATION]
    return {name.removeprefix(f"{OBSERVATION}."): value for name, value in rows.items()}


def masks(space: spaces.Space, rows: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return masks, (rows, choices), each of which leaves every choice an option."""
    allowed = rng.random((rows, choices(space))) < 0.5
    sizes = [choices(space)] if isinstance(space, spaces.Discrete) else getattr(space, "nvec", None)
    sizes = [2] * (choices(space) // 2) if sizes is None else list(sizes)
    begin = 0
    for size in sizes:
        allowed[np.arange(rows), begin + rng.integers(0, size, rows)] = True
        begin += int(size)
    return allowed


def _statistics(normalizer: Normalizer | None, name: str) -> tuple[Array, Array] | None:
    if normalizer is None or not normalizer.norm_obs:
        return None
    mean, variance = normalizer.obs_mean, normalizer.obs_var
    if isinstance(mean, dict) and isinstance(variance, dict):
        key = name.removeprefix(f"{OBSERVATION}.")
        return (mean[key], variance[key]) if key in mean else None
    return np.asarray(mean), np.asarray(variance)


def _drawn(space: spaces.Space, rows: int, rng: np.random.Generator, known: tuple[Array, Array] | None) -> Array:
    match space:
        case spaces.Discrete():
            return rng.integers(space.n, size=rows)
        case spaces.MultiDiscrete():
            return rng.integers(space.nvec, size=(rows, *space.shape))
        case spaces.MultiBinary():
            return rng.integers(2, size=(rows, *space.shape))
        case spaces.Box() if space.dtype.kind in "iu":
            # Each row darker than it could be: images of mere noise are all alike to a network.
            level = rng.random((rows, *(1 for _ in space.shape)))
            drawn = rng.integers(space.low, space.high, endpoint=True, size=(rows, *space.shape))
            return (space.low + (drawn - space.low.astype(np.int64)) * level).astype(space.dtype)
        case spaces.Box():
            return _numbers(space, rows, rng, known)
    raise TypeError(f"no agent sees a {type(space).__name__}")


def _numbers(space: spaces.Box, rows: int, rng: np.random.Generator, known: tuple[Array, Array] | None) -> Array:
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    spread = rng.normal(size=(rows, *space.shape))
    if known is not None:
        return np.clip(known[0] + 2 * np.sqrt(known[1]) * spread, low, high)
    bounded = (np.abs(low) < _ENDLESS) & (np.abs(high) < _ENDLESS)
    ends = np.where(bounded, low, 0.0), np.where(bounded, high, 1.0)
    return np.where(bounded, rng.uniform(*ends, size=spread.shape), np.clip(spread, low, high))
