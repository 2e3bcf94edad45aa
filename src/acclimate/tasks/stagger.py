"""Bring the environments of a vector out of step, so that one rollout sees every phase of an episode."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym


class Staggered(gym.Wrapper):
    """Truncates its first episode early; all later ones run their full time.

    Environments that only end by their time limit start and end together. A rollout of a quarter of an episode then
    holds that quarter alone, from every environment, and the policy is trained in turn on beginnings and ends. Cutting
    the first episodes at different times spreads the phases for good, and costs no step (Bharthulwar, Tao and Su 2025,
    arXiv:2511.21011).
    """

    def __init__(self, env: gym.Env, first: int) -> None:
        """Wrap an environment.

        Args:
            env: What runs.
            first: Steps after which the first episode is truncated, as by a time limit.
        """
        super().__init__(env)
        self._left: int | None = first

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if self._left is not None:
            self._left -= 1
            truncated = truncated or self._left <= 0
            if terminated or truncated:
                self._left = None
        return observation, reward, terminated, truncated, info


def first_episode(index: int, n: int, limit: int | None) -> int | None:
    """Return the length of environment `index`'s first episode among `n`, None where nothing is to be cut.

    Example:
        >>> [first_episode(i, 4, 1000) for i in range(4)]
        [250, 500, 750, None]
    """
    if limit is None or index == n - 1:
        return None
    return math.ceil(limit * (index + 1) / n)


def time_limit(env: gym.Env) -> int | None:
    """Return after how many steps an environment truncates its episodes, None where it does not."""
    while True:
        if isinstance(env, gym.wrappers.TimeLimit):
            return env._max_episode_steps
        if not isinstance(env, gym.Wrapper):
            return None
        env = env.env
