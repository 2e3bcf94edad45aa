"""Which actions an environment allows: what its `action_masks()` says, as sb3-contrib's MaskablePPO asks for it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Discrete, MultiBinary, MultiDiscrete
from numpy.typing import NDArray

MASKS = "action_masks"


def choices(space: gym.Space[Any]) -> int:
    """Return how many numbers a mask of the space has: one for each choice, of several choices one after another.

    It is 0 for a space that cannot be masked.

    Example:
        >>> choices(MultiDiscrete([2, 3])), choices(MultiBinary(2))
        (5, 4)
    """
    if isinstance(space, Discrete):
        return int(space.n)
    if isinstance(space, MultiDiscrete):
        return int(space.nvec.sum())
    return 2 * int(np.prod(space.shape)) if isinstance(space, MultiBinary) else 0


def tells(env: gym.Env) -> bool:
    """Tell whether an environment says which actions it allows."""
    return choices(env.action_space) > 0 and env.has_wrapper_attr(MASKS)


def allowed(env: gym.Env) -> NDArray[np.bool_] | None:
    """Return which actions an environment allows now, shape (choices,); None where it does not tell."""
    return np.asarray(env.get_wrapper_attr(MASKS)(), bool).ravel() if tells(env) else None


def leaves_a_choice(space: gym.Space[Any], mask: NDArray[np.bool_]) -> bool:
    """Tell whether a mask allows one option at least of each choice.

    Example:
        >>> leaves_a_choice(MultiDiscrete([2, 3]), np.array([True, False, False, False, False]))
        False
    """
    sizes = space.nvec if isinstance(space, MultiDiscrete) else [2] * (len(mask) // 2)
    parts = [mask] if isinstance(space, Discrete) else np.split(mask, np.cumsum(sizes)[:-1])
    return all(bool(part.any()) for part in parts)


def by_chance(env: gym.Env) -> Any:
    """Draw one of the actions that an environment allows now, by its space's own random numbers."""
    mask = allowed(env)
    return env.action_space.sample() if mask is None else sampled(env.action_space, mask)


def sampled(space: gym.Space[Any], mask: NDArray[np.bool_]) -> Any:
    """Draw an action among those that a mask allows, by the space's own random numbers.

    Args:
        space: Discrete, MultiDiscrete or MultiBinary.
        mask: Shape (`choices(space)`,).
    """
    allowed = mask.astype(np.int8)
    if isinstance(space, Discrete):
        return space.sample(mask=allowed)
    if isinstance(space, MultiDiscrete):
        return space.sample(mask=tuple(np.split(allowed, np.cumsum(space.nvec)[:-1])))
    no, yes = allowed.reshape(-1, 2).T
    # Gymnasium's own form for bits: 0 and 1 are forced, 2 is free.
    return space.sample(mask=np.where(no & yes, 2, yes).astype(np.int8).reshape(space.shape))
