"""Wind and turbulence of LunarLander: switched on, with a factor on the environment's own power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import gymnasium as gym

from acclimate.shifts.shift import Shift, finite


@dataclass(frozen=True)
class _Air(Shift):
    """A part of the moving air: switched on, with a factor on the environment's own power for it."""

    factor: float
    """Multiplies the power that the environment has for it, even if it is switched off there; 0 is none."""

    unit: ClassVar[str] = "factor on the environment's own power, which it switches on"
    example: ClassVar[int] = 1
    attribute: ClassVar[str]
    most: ClassVar[float]

    def __post_init__(self) -> None:
        finite("factor", self.factor, least=0.0)

    def _own(self, env: gym.Env) -> float:
        """Return the environment's own power, which counts even while it is switched off."""
        return getattr(env.unwrapped, "air", {}).get(self.attribute, getattr(env.unwrapped, self.attribute))

    def missing(self, env: gym.Env) -> str:
        """Say why the environment cannot have it."""
        if not hasattr(env.unwrapped, self.attribute):
            return f"it has no {self.name}"
        power = self._own(env) * self.factor
        return f"{power:g} is more than its {self.most:g}" if power > self.most else ""

    def current(self, env: gym.Env) -> str:
        """Describe what is there now."""
        return f"{self._own(env):g}" + ("" if env.unwrapped.enable_wind else ", off")

    def apply(self, env: gym.Env) -> gym.Env:
        """Switch it on, with its power multiplied."""
        bare = env.unwrapped
        if self._calm(env):
            return env
        if not hasattr(bare, "air"):
            bare.air = {"wind_power": bare.wind_power, "turbulence_power": bare.turbulence_power}
            if not bare.enable_wind:  # gymnasium has one switch for the two
                bare.wind_power = bare.turbulence_power = 0.0
                bare.enable_wind = True
        bare.air[self.attribute] *= self.factor
        setattr(bare, self.attribute, bare.air[self.attribute])
        return env

    def verify(self, env: gym.Env, before: gym.Env) -> None:
        """Compare what the two do, unless the air moves alike: still in both, or on already and the factor one."""
        blown = before.unwrapped.enable_wind
        same = getattr(env.unwrapped, self.attribute) == getattr(before.unwrapped, self.attribute)
        if not (self._calm(before) or (blown and same)):
            super().verify(env, before)

    def _calm(self, env: gym.Env) -> bool:
        """Whether there is nothing to switch on."""
        return self.factor == 0 and not env.unwrapped.enable_wind


@dataclass(frozen=True)
class Wind(_Air):
    """Wind that pushes sideways until a leg touches the ground."""

    name: ClassVar[str] = "wind"
    attribute: ClassVar[str] = "wind_power"
    most: ClassVar[float] = 20.0


@dataclass(frozen=True)
class Turbulence(_Air):
    """Turbulence that turns the lander until a leg touches the ground."""

    name: ClassVar[str] = "turbulence"
    attribute: ClassVar[str] = "turbulence_power"
    most: ClassVar[float] = 2.0
