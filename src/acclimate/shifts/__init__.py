"""Shifts: declared changes of the world.

A physics shift is a factor on the environment's own value, a delay counts steps, sensor noise is in standard
deviations of the observation. `available(task)` lists what an environment has.
"""

from __future__ import annotations

from typing import Protocol

from acclimate.config import parse_spec
from acclimate.shifts.actions import ActionDelay, ActionGain, ActionNoise
from acclimate.shifts.frames import FrameSkip
from acclimate.shifts.joints import BrokenJoint, JointLimits
from acclimate.shifts.physics import (
    ActuatorGear,
    CartMass,
    Damping,
    Force,
    Friction,
    Gravity,
    Length,
    MainEngine,
    Mass,
    PoleMass,
    SideEngine,
    Speed,
    Torque,
)
from acclimate.shifts.rewards import RewardScale, RewardWeights
from acclimate.shifts.sensors import SensorBias, SensorDropout, SensorNoise, SensorPermutation
from acclimate.shifts.shift import Shift, ShiftInfo
from acclimate.shifts.wind import Turbulence, Wind

__all__ = [
    "ActionDelay",
    "ActionGain",
    "ActionNoise",
    "ActuatorGear",
    "BrokenJoint",
    "CartMass",
    "Damping",
    "Force",
    "FrameSkip",
    "Friction",
    "Gravity",
    "JointLimits",
    "Length",
    "MainEngine",
    "Mass",
    "PoleMass",
    "RewardScale",
    "RewardWeights",
    "SensorBias",
    "SensorDropout",
    "SensorNoise",
    "SensorPermutation",
    "Shift",
    "ShiftInfo",
    "SideEngine",
    "Speed",
    "Torque",
    "Turbulence",
    "Wind",
    "available",
    "parse",
]


def parse(text: str) -> Shift:
    """Read a shift from a flag: `name=value` or `name:field=value,field=value`.

    Raises:
        ConfigError: if there is no such shift or field, or the value is no use.

    Example:
        >>> parse("gravity=1.5")
        Gravity(factor=1.5)
    """
    name, fields = parse_spec(text)
    return Shift.from_config({name: fields}, "shift")


class Offering(Protocol):
    """What can tell which shifts it has: a task."""

    def offers(self) -> list[ShiftInfo]:
        """List them, each tried out."""
        ...


def available(task: Offering) -> list[ShiftInfo]:
    """List the shifts that a task's environment has, each tried out with its example.

    A shift is listed if its example can be applied and changes what the environment does: gravity is not a
    shift of a swimmer that moves in a plane.
    """
    return task.offers()
