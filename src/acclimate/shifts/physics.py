"""Shifts of the physics: a factor on a quantity that the environment has.

Each kind of environment has a table of quantities in a file of its own; a shift finds its quantity there by
name. The environment in memory is changed, never its class or module, so that other instances stay as they
are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import gymnasium as gym
import numpy as np

from acclimate.errors import TaskError
from acclimate.shifts.quantities.tables import quantities
from acclimate.shifts.shift import Shift, finite


@dataclass(frozen=True)
class Physics(Shift):
    """A factor on one physical quantity. Stacked, they multiply."""

    factor: float
    """Multiplies the environment's own value; 1 changes nothing."""

    unit: ClassVar[str] = "factor on the environment's own value"
    example: ClassVar[float] = 1.5
    neutral: ClassVar[float] = 1.0
    positive: ClassVar[bool] = False
    """Whether zero makes no sense, as for a mass."""

    def __post_init__(self) -> None:
        finite("factor", self.factor, least=0.0, above=self.positive)

    @classmethod
    def sample(cls, env: gym.Env) -> Self:
        """Return the example, or its inverse where that would leave the environment's bounds."""
        shift = cls(cls.example)
        return cls(round(1 / cls.example, 2)) if cls.name in quantities(env) and shift.missing(env) else shift

    def missing(self, env: gym.Env) -> str:
        """Say why the environment cannot have it."""
        quantity = quantities(env).get(self.name)
        if quantity is None:
            return f"it has no {self.name.replace('_', ' ')}"
        value = np.asarray(quantity.read(env.unwrapped)) * self.factor
        if np.any(value <= quantity.low) or np.any(value >= quantity.high):
            return f"{value:g} is not between its bounds {quantity.low:g} and {quantity.high:g}"
        return ""

    def current(self, env: gym.Env) -> str:
        """Describe what is there now."""
        quantity = quantities(env)[self.name]
        value = np.unique(np.asarray(quantity.read(env.unwrapped), dtype=float))
        span = f"{value[0]:.4g}" if value.size == 1 else f"{value[0]:.4g} to {value[-1]:.4g}"
        return f"{span} {quantity.unit}".rstrip()

    def apply(self, env: gym.Env) -> gym.Env:
        """Multiply the quantity."""
        quantities(env)[self.name].write(env.unwrapped, self.factor)
        return env

    def verify(self, env: gym.Env, before: gym.Env) -> None:
        """Read the quantity back from both, then compare what they do.

        Raises:
            TaskError: if the quantity is not what was declared, or nothing changed.
        """
        self.read_back(env, before)
        super().verify(env, before)

    def read_back(self, env: gym.Env, before: gym.Env) -> None:
        """Compare the quantity of both.

        Raises:
            TaskError: if it is not what was declared.
        """
        read = quantities(env)[self.name].read
        wanted = np.asarray(read(before.unwrapped)) * self.factor
        got = np.asarray(read(env.unwrapped))
        if not np.allclose(got, wanted, rtol=1e-6, atol=1e-12):
            raise TaskError(f"the shift `{self}` should give {wanted} but the environment has {got}; leave it out")


@dataclass(frozen=True)
class Gravity(Physics):
    """Gravity."""

    name: ClassVar[str] = "gravity"


@dataclass(frozen=True)
class Friction(Physics):
    """Friction of every contact, by the coefficients of the ground and of the robot alike."""

    name: ClassVar[str] = "friction"
    example: ClassVar[float] = 0.5


@dataclass(frozen=True)
class Mass(Physics):
    """Mass of all moving parts, and their inertia with it."""

    name: ClassVar[str] = "mass"
    positive: ClassVar[bool] = True


@dataclass(frozen=True)
class Damping(Physics):
    """Damping of the joints."""

    name: ClassVar[str] = "damping"
    example: ClassVar[int] = 2


@dataclass(frozen=True)
class ActuatorGear(Physics):
    """Gear of the actuators: how much torque or force an action gives."""

    name: ClassVar[str] = "gear"
    example: ClassVar[float] = 0.5


@dataclass(frozen=True)
class Length(Physics):
    """Length of the pole or of the links."""

    name: ClassVar[str] = "length"
    positive: ClassVar[bool] = True


@dataclass(frozen=True)
class PoleMass(Physics):
    """Mass of the pole."""

    name: ClassVar[str] = "pole_mass"
    positive: ClassVar[bool] = True
    example: ClassVar[int] = 2


@dataclass(frozen=True)
class CartMass(Physics):
    """Mass of the cart."""

    name: ClassVar[str] = "cart_mass"
    positive: ClassVar[bool] = True
    example: ClassVar[int] = 2


@dataclass(frozen=True)
class Force(Physics):
    """Force with which an action pushes."""

    name: ClassVar[str] = "force"
    example: ClassVar[float] = 0.5


@dataclass(frozen=True)
class Torque(Physics):
    """Torque that an action gives."""

    name: ClassVar[str] = "torque"
    example: ClassVar[float] = 0.8


@dataclass(frozen=True)
class Speed(Physics):
    """Speed at which the motors turn."""

    name: ClassVar[str] = "speed"
    example: ClassVar[float] = 0.8


@dataclass(frozen=True)
class MainEngine(Physics):
    """Power of the main engine."""

    name: ClassVar[str] = "main_engine"
    example: ClassVar[float] = 0.8


@dataclass(frozen=True)
class SideEngine(Physics):
    """Power of the side engines."""

    name: ClassVar[str] = "side_engine"
    example: ClassVar[float] = 0.5
