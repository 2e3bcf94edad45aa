"""A place in a batch of environments: one environment, the episode it is in, and the blame if it fails."""

from __future__ import annotations

import math
from copy import deepcopy
from types import TracebackType
from typing import Any

import gymnasium as gym
import numpy as np

from acclimate.errors import AcclimateError, TaskError
from acclimate.evaluation.transitions import Transition, Transitions
from acclimate.tasks.actions import held

ENDLESS = 1_000_000
"""Steps after which an episode counts as one that never ends."""


class Slot:
    """One environment and its episode; as a context, it turns what it raises into a `TaskError`."""

    def __init__(self, env: gym.Env[Any, Any], name: str, record: Transitions | None = None) -> None:
        self.env, self.name, self.record = env, name, record
        self.episode = self.seed = self.steps = 0
        self.total = 0.0
        self.observation: Any = None

    def begin(self, episode: int, seed: int) -> None:
        """Reset the environment for an episode."""
        self.episode, self.seed, self.steps, self.total = episode, seed, 0, 0.0
        with self:
            self.observation, _ = self.env.reset(seed=seed)
        self._check(0.0)

    def step(self, action: Any) -> bool:
        """Take a step and say whether the episode has ended."""
        self.steps += 1
        # An environment may hand out one array and write the next observation into it.
        before = None if self.record is None else deepcopy(self.observation)
        action = held(self.env.action_space, action)
        with self:
            self.observation, reward, terminated, truncated, _ = self.env.step(action)
            reward = float(reward)
        self._check(reward)
        self.total += reward
        if self.record is not None:
            after = deepcopy(self.observation)
            self.record.add(self.seed, Transition(before, action, reward, after, bool(terminated), bool(truncated)))
        return bool(terminated or truncated)

    def _check(self, reward: float) -> None:
        seen = self.observation
        for part in seen.values() if isinstance(seen, dict) else (seen,):
            if not np.isfinite(part).all():
                raise TaskError(f"{self._where()} saw a number that is not finite; mend the environment or its shifts")
        if not math.isfinite(reward):
            raise TaskError(f"{self._where()} gave the reward {reward}; mend the environment or its shifts")
        if self.steps >= ENDLESS:
            raise TaskError(f"{self._where()} has still not ended; wrap the environment in gymnasium's TimeLimit")

    def _where(self) -> str:
        return f"{self.name}, episode {self.episode} (seed {self.seed}), step {self.steps},"

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, AcclimateError):
            said = " ".join(str(error).split()) or "no message"
            raise TaskError(
                f"{self._where()} raised {type(error).__name__}: {said}; mend the environment or its shifts"
            ) from error
