"""Shifts of the sensors: noise, bias, dropout, permutation.

Noise and bias are in standard deviations of each observation. Where a shift declares no `scale`, it is
estimated: the standard deviation of each entry over 1,000 steps of random actions in the unshifted
environment, always with the same seed, so that a task means the same everywhere. Entries that never move
there get no noise. Give `scale` (`Task.scaled` does) to use the statistics of an agent's normaliser instead.
They act on the environment's own observations, before any wrapper of the task such as a frame stack.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import gymnasium as gym
import numpy as np

from acclimate.shifts.chance import Chance
from acclimate.shifts.masks import by_chance
from acclimate.shifts.shift import Shift, finite
from acclimate.shifts.trace import shows

STEPS = 1000


def estimate_scale(env: gym.Env, *, steps: int = STEPS, seed: int = 0) -> tuple[float, ...]:
    """Estimate the standard deviation of each entry under random actions; one for all of an image.

    Args:
        env: an unshifted environment; it is left at the end of the rollout.
        steps: how many observations to take.
        seed: of the first episode and the actions.
    """
    env.action_space.seed(seed)
    observation = env.reset(seed=seed)[0]
    count, mean, square = 0, 0.0, 0.0
    for step in range(steps):
        # Welford's recursion: images of 1,000 steps would not fit in memory.
        count += 1
        delta = np.asarray(observation, dtype=np.float64) - mean
        mean = mean + delta / count
        square = square + delta * (np.asarray(observation, dtype=np.float64) - mean)
        observation, _, terminated, truncated, _ = env.step(by_chance(env))
        if terminated or truncated:
            observation = env.reset(seed=seed + step + 1)[0]
    deviation = np.sqrt(square / count)
    if deviation.ndim > 1:
        return (float(np.sqrt(np.mean(deviation**2))),)
    return tuple(float(value) for value in deviation)


class _Shown(Chance):
    """Shows a changed copy of each observation, in the dtype of the space."""

    def __init__(self, env: gym.Env, change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> None:
        super().__init__(env)
        self._change = change

    def begin(self, observation: Any) -> np.ndarray:
        return self._show(observation)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment and change what it shows."""
        observation, *rest = self.env.step(action)
        return self._show(observation), *rest

    def _show(self, observation: np.ndarray) -> np.ndarray:
        changed = self._change(np.asarray(observation), self.random)
        space = self.observation_space
        if np.issubdtype(space.dtype, np.integer):
            changed = np.clip(np.rint(changed), space.low, space.high)
        return changed.astype(space.dtype)


@dataclass(frozen=True)
class Sensors(Shift):
    """A change of what is seen of a Box observation."""

    def missing(self, env: gym.Env) -> str:
        """Say why the environment cannot have it."""
        if isinstance(env.observation_space, gym.spaces.Box):
            return ""
        return f"its observation is {type(env.observation_space).__name__} and no Box"

    def current(self, env: gym.Env) -> str:
        """Describe what is there now."""
        return f"{int(np.prod(env.observation_space.shape))} sensors"

    def change(self, observation: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return what is seen instead of an observation."""
        raise NotImplementedError

    def apply(self, env: gym.Env) -> gym.Env:
        """Wrap the environment."""
        return _Shown(env, self.change)


@dataclass(frozen=True)
class _Scaled(Sensors):
    """A change in units of the standard deviation of each observation."""

    amount: float
    """How much, in standard deviations; more hides or displaces more."""
    scale: tuple[float, ...] | None = None
    """Standard deviation of each entry (or one for all); None estimates it by random actions."""

    unit: ClassVar[str] = "standard deviations of the observation"
    neutral: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        finite("amount", self.amount)
        for value in self.scale or ():
            finite("scale", value, least=0.0)

    def brief(self) -> str:
        """Write the shift without its scale."""
        return str(replace(self, scale=None))

    def prepare(self, make: Callable[[], gym.Env]) -> Self:
        """Estimate the scale, if none is declared."""
        if self.scale is not None:
            return self
        env = make()
        try:
            return replace(self, scale=estimate_scale(env))
        finally:
            env.close()

    def missing(self, env: gym.Env) -> str:
        """Say why the environment cannot have it."""
        if reason := super().missing(env):
            return reason
        size = int(np.prod(env.observation_space.shape))
        if self.scale is None or len(self.scale) in (1, size):
            return ""
        return f"its observation has {size} entries and the scale {len(self.scale)}"

    def deviation(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the standard deviation that one unit means, as an array that broadcasts to `shape`."""
        scale = np.asarray(self.scale)
        return scale[0] if scale.size == 1 else scale.reshape(shape)


@dataclass(frozen=True)
class SensorNoise(_Scaled):
    """Gaussian noise on every observation, drawn anew at each step."""

    name: ClassVar[str] = "sensor_noise"
    example: ClassVar[float] = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        finite("amount", self.amount, least=0.0)

    def change(self, observation: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Add noise."""
        noise = random.standard_normal(observation.shape)
        return observation + self.amount * self.deviation(observation.shape) * noise


@dataclass(frozen=True)
class SensorBias(_Scaled):
    """The same offset on every observation, as of a sensor out of calibration."""

    name: ClassVar[str] = "sensor_bias"
    example: ClassVar[float] = 0.2

    def change(self, observation: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Add the offset."""
        return observation + self.amount * self.deviation(observation.shape)


@dataclass(frozen=True)
class SensorDropout(Sensors):
    """Sensors that read zero now and then, each on its own at each step."""

    probability: float
    """Chance that a sensor reads zero in a step; higher hides more."""

    name: ClassVar[str] = "sensor_dropout"
    unit: ClassVar[str] = "probability, 0 to 1"
    example: ClassVar[float] = 0.1
    neutral: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        finite("probability", self.probability, least=0.0, most=1.0)

    def verify(self, env: gym.Env, before: gym.Env) -> None:
        """Compare what the two do, unless zeros are too rare to show in a short rollout."""
        if shows(self.probability):
            super().verify(env, before)

    def change(self, observation: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Set some entries to zero."""
        return np.where(random.random(observation.shape) < self.probability, 0, observation)


@dataclass(frozen=True)
class SensorPermutation(Sensors):
    """Sensors plugged in wrongly: the entries of the observation in another, fixed order."""

    seed: int
    """Draws the order; every task with this seed and observation size has the same one."""

    name: ClassVar[str] = "sensor_permutation"
    unit: ClassVar[str] = "seed of the order"
    example: ClassVar[int] = 0

    def __post_init__(self) -> None:
        finite("seed", self.seed, least=0)

    def missing(self, env: gym.Env) -> str:
        """Say why the environment cannot have it."""
        if reason := super().missing(env):
            return reason
        return "" if np.prod(env.observation_space.shape) > 1 else "it has one sensor"

    def order(self, size: int) -> np.ndarray:
        """Return the order: entry i shows what was at `order[i]`. It is never the order that was."""
        random = np.random.default_rng(self.seed)
        order = random.permutation(size)
        while size > 1 and np.array_equal(order, np.arange(size)):
            order = random.permutation(size)
        return order

    def change(self, observation: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Change the order."""
        return observation.reshape(-1)[self.order(observation.size)].reshape(observation.shape)
