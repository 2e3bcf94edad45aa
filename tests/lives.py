"""A game of three lives, as wrappers of Atari know one, without a ROM."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

LIVES = 3


class Machine:
    """What an Atari environment has for its lives."""

    left = LIVES

    def lives(self) -> int:
        """Return how many are left."""
        return self.left


class Lives(gym.Env):
    """Each life begins by FIRE and lasts as its draws want; a step of it pays the action's number, up to 3.

    Where `ready`, it begins by itself. Standing on the last life ends the game where `fragile`, also in the step that a
    wrapper takes within a reset.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(
        self, *, image: bool = False, fragile: bool = False, ready: bool = False, render_mode: str | None = None
    ) -> None:
        self.image, self.fragile, self.ready, self.render_mode = image, fragile, ready, render_mode
        self.observation_space = Box(0, 255, (8, 8, 3), np.uint8) if image else Box(0.0, 9.0, (3,), np.float32)
        self.action_space, self.ale = Discrete(4), Machine()

    def get_action_meanings(self) -> list[str]:
        return ["NOOP", "FIRE", "UP", "DOWN"]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.ale.left, self.stands, self.time, self.seen = LIVES, not self.ready, 0, self.np_random.uniform(0, 9)
        return self.show(), {}

    def show(self) -> Any:
        told = np.array([self.ale.left, self.stands, self.seen], np.float32)
        return np.tile(told * 9, (8, 8, 1)).astype(np.uint8) if self.image else told

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.ale.left == 0:
            raise RuntimeError("the game is over")
        self.time += 1
        self.seen = self.np_random.uniform(0, 9)
        paid = 0.0 if self.stands else float(action)
        lost = not self.stands and self.np_random.random() < 0.2
        lost |= self.fragile and self.stands and self.ale.left == 1 and action == 0
        self.stands = not self.ready and (lost or (self.stands and action != 1))
        self.ale.left -= int(lost)
        over = self.ale.left == 0
        return self.show(), paid, over, self.time == 200, {"is_success": over}

    def render(self) -> Any:
        return np.full((16, 16, 3), int(self.seen * 20), np.uint8)
