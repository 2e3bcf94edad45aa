"""Shifts of the actuators as the agent sees them: noise, delay, gain, a broken joint."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

from acclimate.shifts.chance import Chance
from acclimate.shifts.masks import allowed, tells
from acclimate.shifts.shift import Shift, finite
from acclimate.shifts.trace import shows


def _describe(env: gym.Env) -> str:
    space = env.action_space
    return f"{space.n} choices" if isinstance(space, Discrete) else f"{int(np.prod(space.shape))} continuous"


def _needs(env: gym.Env, *kinds: type[gym.Space]) -> str:
    space = env.action_space
    if not isinstance(space, kinds):
        return f"its action is {type(space).__name__} and no {' or '.join(kind.__name__ for kind in kinds)}"
    if isinstance(space, Box) and not space.is_bounded():
        return "its actions have no bounds"
    return ""


class _NoisyActions(Chance):
    """Executes a disturbed copy of each action."""

    def __init__(self, env: gym.Env, amount: float) -> None:
        super().__init__(env)
        self._amount = amount

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Disturb the action, then step."""
        space = self.action_space
        if isinstance(space, Discrete):
            if self.random.random() < self._amount:
                mask = allowed(self.env)
                options = np.arange(space.n) if mask is None else np.flatnonzero(mask)
                action = space.start + options[self.random.integers(len(options))]
            return self.env.step(action)
        noise = self.random.standard_normal(space.shape) * self._amount * (space.high - space.low) / 2
        return self.env.step(np.clip(action + noise, space.low, space.high).astype(space.dtype))


@dataclass(frozen=True)
class ActionNoise(Shift):
    """Noise on what is executed: Gaussian for a continuous action, else now and then a random action.

    It is one of those that are allowed, where the environment tells by `action_masks()`.
    """

    amount: float
    """Standard deviation, or probability; higher disturbs more."""

    name: ClassVar[str] = "action_noise"
    unit: ClassVar[str] = "Box: standard deviation in halves of the action's range; Discrete: probability"
    example: ClassVar[float] = 0.1
    neutral: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        finite("amount", self.amount, least=0.0)

    def missing(self, env: gym.Env) -> str:
        """Say why the environment cannot have it."""
        if isinstance(env.action_space, Discrete) and self.amount > 1:
            return "its actions are Discrete, for which the noise is a probability"
        return _needs(env, Box, Discrete)

    def current(self, env: gym.Env) -> str:
        """Describe what is there now."""
        return _describe(env)

    def apply(self, env: gym.Env) -> gym.Env:
        """Wrap the environment."""
        return _NoisyActions(env, self.amount)

    def verify(self, env: gym.Env, before: gym.Env) -> None:
        """Compare what the two do, unless random actions are too rare to show in a short rollout."""
        if isinstance(env.action_space, Box) or shows(self.amount):
            super().verify(env, before)


class _LateActions(gym.Wrapper):
    """Executes each action some steps after it was chosen."""

    def __init__(self, env: gym.Env, steps: int) -> None:
        super().__init__(env)
        self._steps = steps
        self._waiting: deque[Any] = deque()

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment and forget the actions on their way."""
        self._waiting.clear()
        return self.env.reset(**options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Send the action on its way and execute the one that arrives."""
        if not self._waiting:
            self._waiting.extend([self._first(action)] * self._steps)
        self._waiting.append(np.copy(action) if isinstance(action, np.ndarray) else action)
        return self.env.step(self._waiting.popleft())

    def _first(self, action: Any) -> Any:
        space = self.action_space
        if isinstance(space, Box):
            return np.clip(np.zeros(space.shape), space.low, space.high).astype(space.dtype)
        return action


@dataclass(frozen=True)
class ActionDelay(Shift):
    """Actions that are executed late.

    Until the first arrives, a continuous action is zero and a discrete one is the first itself.
    """

    steps: int
    """How many steps late."""

    name: ClassVar[str] = "action_delay"
    unit: ClassVar[str] = "steps"
    example: ClassVar[int] = 2
    neutral: ClassVar[int] = 0

    def __post_init__(self) -> None:
        finite("steps", self.steps, least=0, most=10_000)

    def missing(self, env: gym.Env) -> str:
        """Say why the environment cannot have it."""
        if self.steps and tells(env):
            return "it tells which actions it allows, and one that comes later may be none of them by then"
        return ""

    def current(self, env: gym.Env) -> str:
        """Describe what is there now."""
        return "0 steps"

    def apply(self, env: gym.Env) -> gym.Env:
        """Wrap the environment."""
        return _LateActions(env, self.steps) if self.steps else env


class _StrongActions(gym.ActionWrapper):
    """Executes a multiple of each action, within the bounds."""

    def __init__(self, env: gym.Env, factor: float) -> None:
        super().__init__(env)
        self._factor = factor

    def action(self, action: np.ndarray) -> np.ndarray:
        """Multiply and clip."""
        space = self.action_space
        return np.clip(np.asarray(action) * self._factor, space.low, space.high).astype(space.dtype)


@dataclass(frozen=True)
class ActionGain(Shift):
    """A gain on continuous actions, which stay within their bounds."""

    factor: float
    """Multiplies the action; below 1 weakens it, above 1 saturates it, below 0 reverses it."""

    name: ClassVar[str] = "action_gain"
    unit: ClassVar[str] = "factor on the action"
    example: ClassVar[float] = 0.5
    neutral: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        finite("factor", self.factor)

    def missing(self, env: gym.Env) -> str:
        """Say why the environment cannot have it."""
        return _needs(env, Box)

    def current(self, env: gym.Env) -> str:
        """Describe what is there now."""
        return _describe(env)

    def apply(self, env: gym.Env) -> gym.Env:
        """Wrap the environment."""
        return env if self.identity else _StrongActions(env, self.factor)
