"""Quantities of Pendulum."""

from __future__ import annotations

from acclimate.shifts.quantities.attribute import attribute

QUANTITIES = {
    "gymnasium.envs.classic_control.pendulum.PendulumEnv": {
        "gravity": attribute("g", unit="m/s^2"),
        "mass": attribute("m", unit="kg"),
        "length": attribute("l", unit="m"),
    }
}
