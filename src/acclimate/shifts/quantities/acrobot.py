"""Quantities of Acrobot. Its gravity is a number inside its equations of motion."""

from __future__ import annotations

from acclimate.shifts.quantities.attribute import attribute
from acclimate.shifts.quantities.quantity import Quantity
from acclimate.shifts.quantities.rebind import number, rebind_number

_GRAVITY = ("_dsdt", 9.8)

QUANTITIES = {
    "gymnasium.envs.classic_control.acrobot.AcrobotEnv": {
        "gravity": Quantity(
            "m/s^2",
            lambda env: number(env, *_GRAVITY),
            lambda env, factor: rebind_number(env, *_GRAVITY, number(env, *_GRAVITY) * factor),
        ),
        "mass": attribute("LINK_MASS_1", unit="kg (each link)", also={"LINK_MASS_2": 1, "LINK_MOI": 1}),
        "length": attribute(
            "LINK_LENGTH_1",
            unit="m (each link)",
            also={"LINK_LENGTH_2": 1, "LINK_COM_POS_1": 1, "LINK_COM_POS_2": 1, "LINK_MOI": 2},
        ),
        "torque": attribute("AVAIL_TORQUE", unit="N m"),
    }
}
