"""Are the spaces of an agent those of an environment? If not, on which axis?"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Protocol

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from acclimate.errors import SpaceMismatchError
from acclimate.tasks.learnable import late, one_line, unlearnable

SHOWN = 8
"""Axes that a message lists before it only counts them."""


class SpaceWarning(UserWarning):
    """Spaces of the same shape whose bounds differ: usable, but perhaps not what was meant."""


class HasSpaces(Protocol):
    """What has spaces: an agent or a task."""

    @property
    def observation_space(self) -> gym.Space:
        """The space of raw observations."""

    @property
    def action_space(self) -> gym.Space:
        """The space of actions."""


class World(HasSpaces, Protocol):
    """An environment with its shifts: a task."""

    def describe(self) -> str:
        """Name it in a message."""
        ...


def check_spaces(agent: HasSpaces, task: World) -> None:
    """Check that an agent can see and act in a task's environment.

    Bounds that differ are a `SpaceWarning`, because observations are seldom clipped to them; a 32 and a 64
    bit float are the same; an image may have its channels first or last, as SB3 turns it.

    Raises:
        SpaceMismatchError: if the spaces differ in kind, shape or number of choices, or do not count choices from 0; it
            names what and where, and the wrapper that helps where SB3 has no such agents.
    """
    pairs = (
        ("observation", agent.observation_space, task.observation_space),
        ("action", agent.action_space, task.action_space),
    )
    for name, ours, _ in pairs:
        if why := next(late(name, ours), None):
            raise SpaceMismatchError(f"{task.describe()}: {why}")
    found = [difference for name, ours, theirs in pairs for difference in mismatches(name, ours, theirs)]
    if found:
        why = next(unlearnable(task.observation_space, task.action_space), None)
        hint = why or _hint(agent.observation_space, task.observation_space)
        raise SpaceMismatchError(f"{task.describe()}: {'; '.join(found)}. {hint}")
    for name, ours, theirs in pairs:
        for difference in bounds(name, ours, theirs):
            warnings.warn(f"{task.describe()}: {difference}", SpaceWarning, stacklevel=2)


def mismatches(name: str, ours: gym.Space, theirs: gym.Space) -> Iterator[str]:
    """Yield what keeps an agent with the space `ours` from an environment with `theirs`."""
    if isinstance(ours, Dict) and isinstance(theirs, Dict):
        yield from _keys(name, ours, theirs)
    elif isinstance(ours, Tuple) and isinstance(theirs, Tuple) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from mismatches(f"{name}[{index}]", one, other)
    elif isinstance(ours, Box) and isinstance(theirs, Box):
        if ours.shape != theirs.shape and not _turned(ours, theirs):
            yield f"{name}: agent expects shape {ours.shape}, the environment gives {theirs.shape}"
        elif ours.dtype.kind != theirs.dtype.kind and not _normalised(ours, theirs):
            yield f"{name}: agent expects {ours.dtype}, the environment gives {theirs.dtype}"
    elif type(ours) is not type(theirs) or _choices(ours) != _choices(theirs):
        yield f"{name}: agent expects {_words(ours)}, the environment gives {_words(theirs)}"


def _keys(name: str, ours: Dict, theirs: Dict) -> Iterator[str]:
    for key in sorted(set(ours.spaces) - set(theirs.spaces)):
        yield f"{name}: agent expects the key `{key}`, which the environment does not give"
    for key in sorted(set(theirs.spaces) - set(ours.spaces)):
        yield f"{name}: the environment gives the key `{key}`, which the agent does not know"
    for key in ours.spaces:
        if key in theirs.spaces:
            yield from mismatches(f"{name}.{key}", ours[key], theirs[key])


def _turned(ours: Box, theirs: Box) -> bool:
    """Whether the agent's image is the environment's with the channels first."""
    image = len(theirs.shape) == 3 and theirs.dtype == np.uint8
    return image and ours.shape == (theirs.shape[2], *theirs.shape[:2])


def _normalised(ours: Box, theirs: Box) -> bool:
    """Whether the agent's space is what SB3's VecNormalize makes of the environment's image: what it clips to."""
    image = len(theirs.shape) == 3 and theirs.dtype == np.uint8 and theirs.shape == ours.shape
    return bool(image and ours.dtype == np.float32 and np.ptp(ours.high) == 0 and np.array_equal(ours.low, -ours.high))


def normalised(ours: gym.Space, theirs: gym.Space) -> bool:
    """Tell whether an agent knows an image of the environment, or a part that is one, by its normaliser alone."""
    if isinstance(ours, Dict) and isinstance(theirs, Dict):
        return any(normalised(part, theirs.spaces[key]) for key, part in ours.items() if key in theirs.spaces)
    return isinstance(ours, Box) and isinstance(theirs, Box) and _normalised(ours, theirs)


def _choices(space: gym.Space) -> object:
    """Return what must be equal for two spaces of one kind that are neither Box, Dict nor Tuple."""
    if isinstance(space, Discrete):
        return int(space.n), int(space.start)
    if isinstance(space, MultiDiscrete):
        return tuple(space.nvec.ravel().tolist()), tuple(np.ravel(space.start).tolist())
    if isinstance(space, MultiBinary):
        return space.shape
    return str(space)


def _words(space: gym.Space) -> str:
    return f"Box of shape {space.shape}" if isinstance(space, Box) else one_line(space)


def bounds(name: str, ours: gym.Space, theirs: gym.Space) -> Iterator[str]:
    """Yield on which axes two matching spaces have other bounds."""
    if isinstance(ours, Dict):
        for key in ours.spaces:
            yield from bounds(f"{name}.{key}", ours[key], theirs[key])
    elif isinstance(ours, Tuple):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from bounds(f"{name}[{index}]", one, other)
    elif isinstance(ours, Box) and ours.shape == theirs.shape and not _normalised(ours, theirs):
        axes = np.argwhere(~(_close(ours.low, theirs.low) & _close(ours.high, theirs.high)))
        if axes.size:
            first = tuple(axes[0])
            yield (
                f"{name}: same shape {ours.shape}, but the bounds differ on axes {_axes(axes)}: agent "
                f"[{ours.low[first]:g}, {ours.high[first]:g}], environment [{theirs.low[first]:g}, "
                f"{theirs.high[first]:g}] on the first; going on"
            )


def _close(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Tell which bounds are the same; older environments write the largest float32 for none."""
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)  # more than a narrower type can hold
    none = 0.99 * float(np.finfo(np.float32).max)
    open_ended = (np.abs(ours) > none) & (np.abs(theirs) > none) & (np.sign(ours) == np.sign(theirs))
    return np.isclose(ours, theirs, rtol=1e-5) | open_ended


def _axes(axes: np.ndarray) -> str:
    shown = [int(axis[0]) if axis.size == 1 else tuple(map(int, axis)) for axis in axes[:SHOWN]]
    more = f" and {len(axes) - SHOWN} more" if len(axes) > SHOWN else ""
    return f"{shown}{more}"


def _hint(ours: gym.Space, theirs: gym.Space) -> str:
    """Say what may have been forgotten."""
    if isinstance(ours, Dict) and isinstance(theirs, Dict):
        ours, theirs = ours.spaces.get("observation", ours), theirs.spaces.get("observation", theirs)
    if isinstance(ours, Box) and isinstance(theirs, Box) and ours.shape != theirs.shape:
        if len(ours.shape) == len(theirs.shape) == 1 and ours.shape[0] == theirs.shape[0] + 1:
            return "One entry more is what the wrapper `time_feature` adds: try it"
        frames = _frames(ours.shape, theirs.shape)
        if frames:
            return f"{frames} times as much is what the wrapper `frame_stack={frames}` gives: try it"
        if len(theirs.shape) == 3 and ours.shape[-2:] == (84, 84):
            return "Frames of 84 by 84 are what the wrapper `atari` gives: try it, with `frame_stack=4`"
    return "Use the environment, version, arguments and wrappers that the agent was trained with"


def _frames(ours: tuple[int, ...], theirs: tuple[int, ...]) -> int:
    """Return how many stacked frames make the difference, 0 if they do not."""
    if len(ours) == 3 and len(theirs) == 3 and ours[1:] == theirs[:2]:
        ours = (*ours[1:], ours[0])
    same = len(ours) == len(theirs) and ours[:-1] == theirs[:-1]
    return ours[-1] // theirs[-1] if same and ours[-1] > theirs[-1] and ours[-1] % theirs[-1] == 0 else 0


def task_spaces(agent: HasSpaces, task: HasSpaces) -> dict[str, gym.Space]:
    """Return the task's own spaces by their names in a blueprint, where no more than bounds and dtype differ.

    SB3 compares spaces exactly when it loads an agent with an environment, and bounds have changed with the versions of
    Gymnasium. An image that the agent sees with its channels first keeps the agent's space, and so does one that a
    normaliser scales: SB3 compares after it.
    """
    own = {"observation_space": agent.observation_space, "action_space": agent.action_space}
    new = {"observation_space": task.observation_space, "action_space": task.action_space}
    return {
        name: new[name]
        for name in own
        if type(new[name]) is type(own[name])
        and new[name].shape == own[name].shape
        and not normalised(own[name], new[name])
    }
