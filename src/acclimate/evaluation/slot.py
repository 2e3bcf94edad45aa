"""A place in a batch of environments: one environment, the episode it is in, and what that has come to."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acclimate.evaluation.lasting import LONG, Lasting
from acclimate.evaluation.transitions import Transition, Transitions
from acclimate.tasks.actions import held
from acclimate.tasks.contract import Contract
from acclimate.tasks.masks import tells


class Slot:
    """One environment and its episode."""

    def __init__(self, env: Contract, lasting: Lasting, record: Transitions | None = None) -> None:
        self.env, self.record = env, record
        self._lasting, self._since = lasting, 0.0
        self._masked = tells(env)
        self.seed = 0
        self.total = 0.0
        self.success: bool | None = None
        """Whether the episode that has ended was one, where the environment tells."""
        self.observation: Any = None
        self.mask: NDArray[np.bool_] | None = None
        """Which actions the environment allows now, shape (choices,); None where it does not tell."""

    def begin(self, seed: int) -> None:
        """Reset the environment for an episode."""
        self.seed, self.total, self._since = seed, 0.0, self._lasting.now()
        self.observation, _ = self.env.reset(seed=seed)
        self._ask()

    def step(self, action: Any) -> bool:
        """Take a step and say whether the episode has ended."""
        # An environment may hand out one array and write the next observation into it.
        before = None if self.record is None else deepcopy(self.observation)
        self.observation, reward, terminated, truncated, info = self.env.step(action)
        self.total += float(reward)
        if self.record is not None:
            taken, after = held(self.env.action_space, action), deepcopy(self.observation)
            step = Transition(before, taken, float(reward), after, bool(terminated), bool(truncated))
            self.record.add(self.seed, step)
        if terminated or truncated:
            self.success = _success(info.get("is_success"))
            return True
        if self.env.steps >= LONG:
            self._lasting.look(self.env, self._since)
        self._ask()
        return False

    def _ask(self) -> None:
        if self._masked:
            self.mask = self.env.allowed()


def _success(told: Any) -> bool | None:
    """Return what the last step of an episode tells by the name that SB3 reads too; None if it is not yes or no."""
    if told is None or np.size(told) != 1:
        return None
    value = np.ravel(told)[0]
    return bool(value) if value in (0, 1) else None
