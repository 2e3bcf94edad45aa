"""A place in a batch of environments: one environment, the episode it is in, and what that has come to."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acclimate.evaluation.lasting import LONG, Lasting
from acclimate.evaluation.transitions import Transition, Transitions
from acclimate.shifts.masks import tells
from acclimate.tasks.actions import held
from acclimate.tasks.contract import Contract
from acclimate.tasks.task import Task
from acclimate.tasks.whole import Whole


class Slot:
    """One environment and its episode, which goes on where a wrapper ends it with less than the whole."""

    def __init__(
        self, task: Task, lasting: Lasting, episodes: Iterator[int] | None = None, record: Transitions | None = None
    ) -> None:
        """Make the environment.

        Args:
            task: Of which.
            lasting: Looks at how long its episodes last.
            episodes: Numbers for its episodes, perhaps shared with other slots.
            record: Gets every step, as the wrappers show it: also where they end an episode on the way.
        """
        self.whole, self.record = Whole.of(task), record
        self.env = Contract(self.whole, task.describe(), episodes)
        self._lasting, self._since = lasting, 0.0
        self._masked = tells(self.env)
        self.seed = 0
        self.started = False
        """Whether what is seen begins an episode, or a part of one."""
        self.success: bool | None = None
        """Whether the episode that has ended was one, where the environment tells."""
        self.observation: Any = None
        self.mask: NDArray[np.bool_] | None = None
        """Which actions the environment allows now, shape (choices,); None where it does not tell."""

    def begin(self, seed: int) -> None:
        """Reset the environment for an episode."""
        self.seed, self.started, self._since = seed, True, self._lasting.now()
        self.observation, _ = self.env.reset(seed=seed)
        self._ask()

    def step(self, action: Any) -> bool:
        """Take a step and say whether the whole episode has ended."""
        # An environment may hand out one array and write the next observation into it.
        before = None if self.record is None else deepcopy(self.observation)
        self.observation, reward, terminated, truncated, info = self.env.step(action)
        self.started = False
        if self.record is not None:
            taken, after = held(self.env.action_space, action), deepcopy(self.observation)
            step = Transition(before, taken, float(reward), after, bool(terminated), bool(truncated))
            self.record.add(self.seed, step)
        if terminated or truncated:
            self.success = _success(info.get("is_success"))
            if not self._goes_on():
                return True
        if self.env.steps >= LONG:
            self._lasting.look(self.env, self._since, limited=self.whole.limited)
        self._ask()
        return False

    def _goes_on(self) -> bool:
        """Begin the next part of an episode that was ended on the way; false where it is over."""
        if not self.whole.may_go_on():
            return False
        self.observation = self.env.go_on()
        self.started = self.whole.goes_on()
        return self.started

    def _ask(self) -> None:
        if self._masked:
            self.mask = self.env.allowed()


def _success(told: Any) -> bool | None:
    """Return what the last step of an episode tells by the name that SB3 reads too; None if it is not yes or no."""
    if told is None or np.size(told) != 1:
        return None
    value = np.ravel(told)[0]
    return bool(value) if value in (0, 1) else None
