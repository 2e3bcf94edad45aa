"""A quantity that an environment keeps in attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from acclimate.shifts.quantities.quantity import Quantity


def attribute(
    name: str,
    *,
    unit: str,
    also: dict[str, int] | None = None,
    then: Callable[[gym.Env], Any] | None = None,
    low: float = -np.inf,
    high: float = np.inf,
) -> Quantity:
    """Make a quantity of one attribute of the bare environment.

    Args:
        name: the attribute that is read; writing sets it on the instance, over the class's own.
        unit: of the value.
        also: further attributes that follow it, each with the power of the factor (an inertia goes with the
            square of a length).
        then: called after writing.
        low: open lower bound of the value.
        high: open upper bound of the value.
    """
    powers = {name: 1, **(also or {})}

    def write(env: gym.Env, factor: float) -> None:
        for key, power in powers.items():
            value = np.asarray(getattr(env, key)) * factor**power
            setattr(env, key, float(value) if value.ndim == 0 else value)
        if then is not None:
            then(env)

    return Quantity(unit, lambda env: np.asarray(getattr(env, name), dtype=float), write, low, high)
