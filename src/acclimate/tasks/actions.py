"""Actions in the type in which an environment's action space holds them.

A policy puts out arrays, one row for each environment. Many environments look a discrete action up in a dict or a
table, which an array without axes is no key of, and take a MultiBinary one as bits, which SB3 draws as floats.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

_ARRAYS = (Box, Discrete, MultiBinary, MultiDiscrete)


def held(space: gym.Space[Any], action: Any) -> Any:
    """Return an action as `space.sample()` would give it: a numpy scalar of a Discrete space, else an array.

    Numbers for a Box of fewer bits or of whole numbers stay as they are: SB3 steps with them, and rounded they would be
    another action.

    Args:
        space: where the action is of; actions of other kinds than Box, Discrete, MultiBinary and MultiDiscrete stay.
        action: one action, of the space's shape or with axes of length one around it.

    Example:
        >>> {0: "left", 1: "right"}[held(Discrete(2), np.array(1))]
        'right'
    """
    if not isinstance(space, _ARRAYS):
        return action
    array = np.asarray(action)
    if not (isinstance(space, Box) and array.dtype.kind == "f" and not np.can_cast(np.float32, space.dtype)):
        array = array.astype(space.dtype, copy=False)
    array = array.reshape(space.shape)
    return array[()] if isinstance(space, Discrete) else array
