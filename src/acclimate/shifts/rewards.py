"""Shifts of the goal: the scale of the reward and the weights of its terms."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, SupportsFloat

import gymnasium as gym

from acclimate.shifts.shift import Shift, finite
from acclimate.shifts.trace import rewarded


class _ScaledReward(gym.RewardWrapper):
    """Gives a multiple of each reward."""

    def __init__(self, env: gym.Env, factor: float) -> None:
        super().__init__(env)
        self._factor = factor

    def reward(self, reward: SupportsFloat) -> float:
        """Multiply."""
        return float(reward) * self._factor


@dataclass(frozen=True)
class RewardScale(Shift):
    """The scale of the reward."""

    factor: float
    """Multiplies every reward; below 0 turns the goal round."""

    name: ClassVar[str] = "reward_scale"
    unit: ClassVar[str] = "factor on the reward"
    example: ClassVar[float] = 0.5
    neutral: ClassVar[float] = 1.0
    pays: ClassVar[bool] = True

    def __post_init__(self) -> None:
        finite("factor", self.factor)

    def current(self, env: gym.Env) -> str:
        """Describe what is there now."""
        return "1"

    def apply(self, env: gym.Env) -> gym.Env:
        """Wrap the environment."""
        return env if self.identity else _ScaledReward(env, self.factor)

    def verify(self, env: gym.Env, before: gym.Env) -> None:
        """Compare what the two do, unless random actions are never rewarded."""
        if rewarded(before):
            super().verify(env, before)


@dataclass(frozen=True)
class RewardWeights(Shift):
    """Weights of the terms of a MuJoCo environment's reward, by Gymnasium's names for them."""

    forward: float = 1.0
    """Factor on the weight of moving forward."""
    healthy: float = 1.0
    """Factor on the reward for each step without a fall."""
    control: float = 1.0
    """Factor on the cost of torques."""
    contact: float = 1.0
    """Factor on the cost of contact forces."""
    distance: float = 1.0
    """Factor on the weight of the distance to a target."""
    near: float = 1.0
    """Factor on the weight of the distance between hand and object."""
    up: float = 1.0
    """Factor on the weight of standing up."""
    impact: float = 1.0
    """Factor on the cost of impacts."""

    name: ClassVar[str] = "reward_weights"
    unit: ClassVar[str] = "factors on the environment's own weights"

    def __post_init__(self) -> None:
        for field in fields(self):
            finite(field.name, getattr(self, field.name))

    @property
    def identity(self) -> bool:
        """Whether all factors are one."""
        return not self._given()

    def _given(self) -> dict[str, float]:
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) != 1.0}

    @classmethod
    def sample(cls, env: gym.Env) -> RewardWeights:
        """Return a shift of the first term that this environment has."""
        return cls(**dict.fromkeys([*_terms(env)][:1], 2.0))

    def missing(self, env: gym.Env) -> str:
        """Say why the environment cannot have it."""
        has = _terms(env)
        if not has:
            return "its reward has no weights that are known"
        lacks = sorted(set(self._given()) - set(has))
        return f"its reward has {', '.join(has)} and no {', '.join(lacks)}" if lacks else ""

    def current(self, env: gym.Env) -> str:
        """Describe what is there now."""
        return ", ".join(f"{term}={getattr(env.unwrapped, name):g}" for term, name in _terms(env).items())

    def apply(self, env: gym.Env) -> gym.Env:
        """Multiply the weights."""
        for term, factor in self._given().items():
            attribute = _terms(env)[term]
            setattr(env.unwrapped, attribute, getattr(env.unwrapped, attribute) * factor)
        return env


_ATTRIBUTES = {
    "forward": ("_forward_reward_weight",),
    "healthy": ("_healthy_reward",),
    "control": ("_ctrl_cost_weight", "_reward_control_weight"),
    "contact": ("_contact_cost_weight",),
    "distance": ("_reward_dist_weight",),
    "near": ("_reward_near_weight",),
    "up": ("_uph_cost_weight",),
    "impact": ("_impact_cost_weight",),
}


def _terms(env: gym.Env) -> dict[str, str]:
    """Return the attribute of each term that the environment's reward has."""
    return {term: name for term, names in _ATTRIBUTES.items() for name in names if hasattr(env.unwrapped, name)}
