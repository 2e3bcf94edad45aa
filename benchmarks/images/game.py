"""A small game in pictures: catch the fruit that rains, let the stones fall."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

SIZE, LENGTH = 10, 100
"""Cells of a side, each a pixel; steps of an episode."""
SPAWNED, FRUIT = 0.25, 0.6
"""Chance that something begins to fall in a step, and that it is a fruit."""
RED, GREEN, BLUE = range(3)


class Rain(gym.Env[np.ndarray, np.int64]):
    """A basket of two cells moves left, stays or moves right under what falls, one cell a step.

    A caught fruit (red) pays 1, a caught stone (blue) -1. The picture has shape (10, 10, 3), bytes.
    """

    observation_space = Box(0, 255, (SIZE, SIZE, 3), np.uint8)
    action_space = Discrete(3)

    def __init__(self, *, inverted: bool = False, mirrored: bool = False) -> None:
        """Prepare.

        Args:
            inverted: whether the picture is its own negative.
            mirrored: whether left and right are exchanged for what moves the basket.
        """
        self.inverted, self.mirrored = inverted, mirrored

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin with an empty sky."""
        super().reset(seed=seed)
        self._left, self._basket = LENGTH, int(self.np_random.integers(SIZE - 1))
        self._falling: list[tuple[int, int, bool]] = []
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Move the basket, then let everything fall by one cell."""
        moved = int(action) - 1
        self._basket = int(np.clip(self._basket + (-moved if self.mirrored else moved), 0, SIZE - 2))
        falling = [(row + 1, column, fruit) for row, column, fruit in self._falling]
        caught = [fruit for row, column, fruit in falling if row == SIZE - 1 and 0 <= column - self._basket <= 1]
        self._falling = [each for each in falling if each[0] < SIZE - 1]
        if self.np_random.random() < SPAWNED:
            self._falling.append((0, int(self.np_random.integers(SIZE)), bool(self.np_random.random() < FRUIT)))
        self._left -= 1
        return self._seen(), float(sum(1 if fruit else -1 for fruit in caught)), False, self._left == 0, {}

    def _seen(self) -> np.ndarray:
        picture = np.zeros((SIZE, SIZE, 3), np.uint8)
        picture[SIZE - 1, self._basket : self._basket + 2, GREEN] = 255
        for row, column, fruit in self._falling:
            picture[row, column, RED if fruit else BLUE] = 255
        return 255 - picture if self.inverted else picture
