"""The spaces that Stable-Baselines3 has no agents for, in its sense, and the wrapper that helps."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

_PLAIN = (Box, Discrete, MultiDiscrete, MultiBinary)


def started(name: str, space: gym.Space) -> Iterator[str]:
    """Yield the parts of a space whose choices are not counted from 0, which SB3 reads as others or not at all."""
    if isinstance(space, Dict):
        for key, part in space.items():
            yield from started(f"{name}.{key}", part)
    elif isinstance(space, Discrete | MultiDiscrete) and np.any(space.start):
        yield f"{name}: {one_line(space)}"


def late(name: str, space: gym.Space) -> Iterator[str]:
    """Yield what to do about each part of a space whose choices are not counted from 0; `name` is that of the space."""
    for part in started(name, space):
        yield (
            f"{part} does not count from 0, as Stable-Baselines3 does. Put the environment into "
            f"gymnasium.wrappers.Transform{name.capitalize()}, to count from 0, and train the agent there"
        )


def unlearnable(observation: gym.Space, action: gym.Space) -> Iterator[str]:
    """Yield why Stable-Baselines3 has no agent for an environment with these spaces, and the wrapper that helps."""
    yield from _observation(observation)
    yield from _action(action)


def _observation(space: gym.Space) -> Iterator[str]:
    parts = {f"observation.{key}": part for key, part in space.items()} if isinstance(space, Dict) else {}
    for name, part in (parts or {"observation": space}).items():
        if isinstance(part, Dict | Tuple):
            yield (
                f"{name}: Stable-Baselines3 reads no Tuple, and a Dict only of plain parts. Put the environment into "
                "gymnasium.wrappers.FlattenObservation, and train the agent there"
            )
        elif not isinstance(part, _PLAIN):
            yield (
                f"{name}: Stable-Baselines3 reads no {type(part).__name__}. Put the environment into "
                "gymnasium.wrappers.TransformObservation, to show numbers in a Box, and train the agent there"
            )
    yield from late("observation", space)


def _action(space: gym.Space) -> Iterator[str]:
    then = "Put the environment into gymnasium.wrappers.TransformAction, and train the agent there"
    if not isinstance(space, _PLAIN):
        kind = type(space).__name__
        yield f"action: Stable-Baselines3 acts in no {kind}, but in a Box or in choices on one axis. {then}"
    elif isinstance(space, MultiDiscrete | MultiBinary) and len(space.shape) != 1:
        yield f"action: Stable-Baselines3 makes choices on one axis. {then}"
    elif isinstance(space, Box) and not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        yield f"action: Stable-Baselines3 acts within finite bounds. {then}"
    yield from late("action", space)


def one_line(space: gym.Space) -> str:
    """Return how a space writes itself, without the line breaks of its arrays."""
    return " ".join(str(space).split())
