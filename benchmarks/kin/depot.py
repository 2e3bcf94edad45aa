"""A small board world in which most moves are illegal at any time, and an illegal one raises."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

SIDE, LIMIT = 5, 50
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
LIFT, DROP = 4, 5
STEP, LIFTED, DELIVERED = -0.125, 1.0, 5.0

Cell = tuple[int, int]


class Depot(gym.Env):
    """Fetch a box and put it down at the depot, which is not shown: where it is has to be learnt.

    Six actions: four moves, lift and drop. A move into a wall or off the board, a lift where no box is and a drop
    anywhere but at the depot raise. An episode ends with the delivery or after 50 steps.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, depot: Cell = (0, 0), walls: tuple[Cell, ...] = (), render_mode: str | None = None) -> None:
        """Build the board.

        Args:
            depot: where boxes belong.
            walls: cells that nobody enters.
            render_mode: none is known.
        """
        self.render_mode = render_mode
        self.depot, self.walls = tuple(depot), {tuple(cell) for cell in walls}
        self.observation_space = Box(0.0, 1.0, (2 * SIDE * SIDE + 1,), np.float32)
        self.action_space = Discrete(6)
        board = [(row, column) for row in range(SIDE) for column in range(SIDE)]
        self._free = [cell for cell in board if cell not in self.walls and cell != self.depot]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Put the walker and the box on two free cells."""
        super().reset(seed=seed)
        here, box = self.np_random.choice(len(self._free), 2, replace=False)
        self._here, self._box = self._free[int(here)], self._free[int(box)]
        self._carries, self._left = False, LIMIT
        return self._seen(), {}

    def action_masks(self) -> np.ndarray:
        """Return which of the six actions are legal now."""
        moves = [self._enters(move) for move in MOVES]
        return np.array(
            [*moves, not self._carries and self._here == self._box, self._carries and self._here == self.depot]
        )

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Do what is legal.

        Raises:
            ValueError: It is not.
        """
        if not self.action_masks()[action]:
            raise ValueError(f"illegal action {action}")
        self._left -= 1
        reward, delivered = STEP, action == DROP
        if delivered:
            self._carries, reward = False, DELIVERED
        elif action == LIFT:
            self._carries, reward = True, LIFTED
        else:
            row, column = MOVES[action]
            self._here = (self._here[0] + row, self._here[1] + column)
            self._box = self._here if self._carries else self._box
        return self._seen(), reward, delivered, not delivered and self._left == 0, {}

    def _enters(self, move: Cell) -> bool:
        cell = (self._here[0] + move[0], self._here[1] + move[1])
        return min(cell) >= 0 and max(cell) < SIDE and cell not in self.walls

    def _seen(self) -> np.ndarray:
        seen = np.zeros(self.observation_space.shape, np.float32)
        for place, (row, column) in enumerate((self._here, self._box)):
            seen[place * SIDE * SIDE + row * SIDE + column] = 1.0
        seen[-1] = self._carries
        return seen
