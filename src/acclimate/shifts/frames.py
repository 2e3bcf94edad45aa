"""A shift of the rate at which the agent decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym

from acclimate.shifts.shift import Shift, finite


class _Held(gym.Wrapper):
    """Executes each action several times and adds up the rewards."""

    def __init__(self, env: gym.Env, times: int) -> None:
        super().__init__(env)
        self._times = times

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Hold the action until the times are over or the episode is."""
        total = 0.0
        for _ in range(self._times):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info


@dataclass(frozen=True)
class FrameSkip(Shift):
    """A slower agent: each action is held for several steps, and their rewards are added up.

    The environment's time limit counts its own steps, so an episode has fewer decisions.
    """

    times: int
    """Steps of the environment for one action; more means fewer decisions. Stacked, they multiply."""

    name: ClassVar[str] = "frame_skip"
    unit: ClassVar[str] = "steps for one action"
    example: ClassVar[int] = 2
    neutral: ClassVar[int] = 1

    def __post_init__(self) -> None:
        finite("times", self.times, least=1, most=10_000)

    def current(self, env: gym.Env) -> str:
        """Describe what is there now."""
        return "1"

    def apply(self, env: gym.Env) -> gym.Env:
        """Wrap the environment."""
        return env if self.identity else _Held(env, self.times)
