"""Which table of quantities serves an environment."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium as gym

from acclimate.shifts.quantities import acrobot, cartpole, lunar_lander, mountain_car, mujoco, pendulum, walker
from acclimate.shifts.quantities.quantity import Quantity


def quantities(env: gym.Env) -> Mapping[str, Quantity]:
    """Return the quantities of an environment by the name of their shift; none for an unknown kind."""
    bare = env.unwrapped
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(bare).__mro__}
    for module in (cartpole, acrobot, pendulum, mountain_car, lunar_lander, walker):
        for kind, table in module.QUANTITIES.items():
            if kind in kinds:
                return table
    return mujoco.quantities(bare)
