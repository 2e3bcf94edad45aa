"""Random numbers of a shift that repeat with the episode's seed."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class Chance(gym.Wrapper):
    """A wrapper with random numbers of its own, spawned from the environment's at each seeded reset.

    Spawning takes nothing from the environment's own stream, so a seeded episode is the same world with and
    without the shift, and two stacked shifts draw independently.
    """

    random: np.random.Generator | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment, and the random numbers where a seed is given."""
        observation, info = self.env.reset(seed=seed, options=options)
        if seed is not None or self.random is None:
            (self.random,) = self.env.unwrapped.np_random.spawn(1)
        return self.begin(observation), info

    def begin(self, observation: Any) -> Any:
        """Take the first observation of an episode and return what is shown of it."""
        return observation
