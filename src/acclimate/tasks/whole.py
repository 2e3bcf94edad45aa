"""Whole episodes: a game is measured to its end and by its own score, whatever its wrappers make of it for training.

Wrappers of Atari end an episode with each lost life and clip rewards, so that a value is learnt sooner. Reset within
a game they go on where it stood, so that their episodes depend on those before. What counts inside of them, a `Monitor`
for one, sees the game. Stable-Baselines3's `evaluate_policy` goes by it too.
"""

from __future__ import annotations

import math
from typing import Any, Self

import gymnasium as gym

from acclimate.tasks.stagger import time_limit
from acclimate.tasks.tally import Tally, counted
from acclimate.tasks.task import Task


class Whole(gym.Wrapper):
    """An environment that knows where the episode stands that is counted inside of it.

    It steps and ends as before. A reset with a seed begins a whole episode anew, and one without goes on where the
    environment does so.
    """

    def __init__(self, env: gym.Env, *, paid_outside: bool = False) -> None:
        """Look for a count.

        Args:
            env: With its shifts and wrappers.
            paid_outside: Whether what a step is worth is decided outside of the count.
        """
        super().__init__(env)
        self._tally: Tally | None = counted(env)
        self._paid_outside = paid_outside
        self._game, self._paid, self._cut = -1, 0.0, False

    @classmethod
    def of(cls, task: Task) -> Self:
        """Make an environment of a task.

        Raises:
            TaskError: as `Task.make` does.
        """
        # Shifts stand inside of the declared wrappers, and outside of what an environment brings along.
        brought = not any(wrapper.counts for wrapper in task.wrappers)
        return cls(task.make(), paid_outside=brought and any(shift.pays for shift in task.shifts))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, by a seed anew whatever the wrappers would go on with."""
        if seed is None:
            return self.env.reset(options=options)
        before = self._latest()
        found = self.env.reset(seed=seed, options=options)
        if self._tally is not None and self._latest() == before:
            self._tally.leave()
            self.env.step(self.action_space.sample())
            found = self.env.reset(seed=seed, options=options)
        self._game, self._paid, self._cut = self._latest(), 0.0, False
        return found

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step."""
        observation, reward, *rest = self.env.step(action)
        self._paid += float(reward)
        return observation, reward, *rest

    def may_go_on(self) -> bool:
        """Tell, after an end, whether the counted episode has not ended: a reset without a seed may go on with it."""
        return self._tally is not None and not self._tally.over

    def goes_on(self) -> bool:
        """Tell, after that reset, whether it is still the same episode."""
        same = self._latest() == self._game
        self._cut |= same
        return same

    @property
    def score(self) -> float:
        """What the episode has returned so far."""
        if self._tally is None or self._paid_outside:
            return self._paid
        return self._tally.scores[self._game]

    @property
    def limited(self) -> bool:
        """Whether a time limit ends the episode; one that only cuts it, and is begun anew with it, does not."""
        inner = self if self._tally is None or not self._cut else self._tally
        return time_limit(inner) is not None

    @property
    def told_apart(self) -> bool:
        """Whether its wrappers ended it on the way, or paid otherwise."""
        return self._cut or not math.isclose(self.score, self._paid, rel_tol=1e-5, abs_tol=1e-6)

    def _latest(self) -> int:
        """Return the number of the episode that is counted now."""
        return -1 if self._tally is None else len(self._tally.scores) - 1
