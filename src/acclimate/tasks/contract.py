"""What goes into a step of an environment, and what has to come out: one contract for whoever steps it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from acclimate.errors import AcclimateError, DivergenceError, TaskError
from acclimate.shifts.masks import MASKS, choices, leaves_a_choice
from acclimate.tasks.actions import held
from acclimate.tasks.environment import Blame

MOST_REWARD = float(np.finfo(np.float32).max)
"""Rewards are learnt from in 32 bits, where more than this is infinite."""


class Contract(gym.Wrapper):
    """An environment that gets actions as its space holds them, and gives finite numbers or is named.

    What it raises, and a reward or an observation that is not finite, is a `TaskError` with the episode, its seed and
    the step. Where the action was not finite either, no environment is at fault: that is a `DivergenceError`.
    """

    def __init__(self, env: gym.Env, name: str, episodes: Iterator[int] | None = None) -> None:
        """Hold an environment to it.

        Args:
            env: With its shifts and wrappers.
            name: Of the task, for errors.
            episodes: Numbers for its episodes, perhaps shared with other environments; by default they count from 0.
        """
        super().__init__(env)
        self._name, self._episodes = name, count() if episodes is None else episodes
        self._blame = Blame(self._fault)
        self._seeded = self._since = ""
        self._action: Any = 0.0
        self.episode = self.steps = 0
        """The number of the episode, and its steps so far."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        self.episode, self.steps, self._action = next(self._episodes), 0, 0.0
        self._seeded = self._since if seed is None else f" (seed {seed})"
        if seed is not None:
            self._since = f" (since the reset with seed {seed})"
        with self._blame:
            observation, info = self.env.reset(seed=seed, options=options)
        self._check(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step."""
        self.steps += 1
        self._action = action
        with self._blame:
            observation, reward, terminated, truncated, info = self.env.step(held(self.action_space, action))
            paid = float(reward)
        if not -MOST_REWARD <= paid <= MOST_REWARD:
            raise self._fault(f"gave the reward {paid}, which is not finite in 32 bits")
        if not isinstance(info, dict):
            raise self._fault(f"gave a {type(info).__name__} as `info`, which is to be a dict")
        self._check(observation)
        return observation, reward, terminated, truncated, info

    def go_on(self) -> Any:
        """Reset within an episode that a wrapper has ended too early, and return what is seen; its steps go on."""
        with self._blame:
            observation, _ = self.env.reset()
        self._check(observation)
        return observation

    def allowed(self) -> NDArray[np.bool_]:
        """Return which actions it allows now, shape (choices,), where `masks.tells` that it says so."""
        with self._blame:
            mask = np.asarray(self.env.get_wrapper_attr(MASKS)(), bool).ravel()
        if len(mask) != choices(self.action_space):
            raise self._fault(f"gave {len(mask)} numbers by `{MASKS}` for {choices(self.action_space)} choices")
        if not leaves_a_choice(self.action_space, mask):
            raise self._fault(f"allows no action by `{MASKS}`, and did not end its episode")
        return mask

    def get_wrapper_attr(self, name: str) -> Any:
        """Return an attribute of the environment; what training asks for its masks is held to the contract too."""
        found = super().get_wrapper_attr(name)
        return self.allowed if name == MASKS else found

    def where(self) -> str:
        """Name the environment, the episode and the step, as a message begins."""
        return f"{self._name}, episode {self.episode}{self._seeded}, step {self.steps},"

    def _check(self, observation: Any) -> None:
        if not finite(observation):
            raise self._fault("gave an observation with a number that is not finite")

    def _fault(self, said: str) -> AcclimateError:
        if finite(self._action):
            return TaskError(f"{self.where()} {said}; mend the environment, its arguments or its shifts")
        return DivergenceError(
            f"{self.where()} got an action that is not finite, and {said}: the agent has diverged; begin from its last "
            "good weights with a lower learning rate"
        )


def finite(values: Any) -> bool:
    """Tell whether there are only finite numbers in an observation or an action: an array, or a dict or tuple of them.

    Example:
        >>> finite({"image": np.zeros((2, 2), np.uint8), "speed": [np.nan]})
        False
    """
    if isinstance(values, (dict, tuple)):
        return all(map(finite, values.values() if isinstance(values, dict) else values))
    array = np.asarray(values)
    # Its bytes are looked through several times sooner than numpy's `all` begins; this is done at each step.
    return array.dtype.kind != "f" or 0 not in np.isfinite(array).tobytes()
