"""Quantities of MountainCar and MountainCarContinuous, in units of their own per step."""

from __future__ import annotations

from acclimate.shifts.quantities.attribute import attribute
from acclimate.shifts.quantities.quantity import Quantity
from acclimate.shifts.quantities.rebind import number, rebind_number

_GRAVITY = ("step", 0.0025)

QUANTITIES = {
    "gymnasium.envs.classic_control.mountain_car.MountainCarEnv": {
        "gravity": attribute("gravity", unit="per step^2"),
        "force": attribute("force", unit="per step^2"),
    },
    "gymnasium.envs.classic_control.continuous_mountain_car.Continuous_MountainCarEnv": {
        "gravity": Quantity(
            "per step^2",
            lambda env: number(env, *_GRAVITY),
            lambda env, factor: rebind_number(env, *_GRAVITY, number(env, *_GRAVITY) * factor),
        ),
        "force": attribute("power", unit="per step^2"),
    },
}
