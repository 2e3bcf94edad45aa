"""One number of a simulation that can be read and multiplied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

Value = float | np.ndarray


@dataclass(frozen=True)
class Quantity:
    """A physical quantity of one kind of environment."""

    unit: str
    """Unit of what is read, empty if it has none."""
    read: Callable[[gym.Env], Value]
    """The present value or values of a bare environment."""
    write: Callable[[gym.Env, float], None]
    """Multiply by a factor what `read` returns."""
    low: float = -np.inf
    high: float = np.inf
    """Open bounds that the environment sets on the value."""
