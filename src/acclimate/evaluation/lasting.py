"""An episode that does not end: told after seconds, and an error at last."""

from __future__ import annotations

import time
import warnings

from acclimate.errors import TaskError
from acclimate.tasks.contract import Contract
from acclimate.tasks.task import Task

LONG = 3_000
"""Steps below which nobody is told, however slow they are: three times what most episodes last."""
SECONDS = 10.0
"""Below which nobody is told, however many steps they are."""
ENDLESS = 200_000
"""Steps after which an episode without a time limit counts as one that never ends: seven times what Atari allows. It
is no time, as what a run finds must not depend on the machine."""


class Lasting:
    """Looks at how long the episodes of one evaluation last. One that has a time limit may take all of it."""

    def __init__(self, task: Task) -> None:
        """Begin to look."""
        self._task, self._told = task, False

    @staticmethod
    def now() -> float:
        """Return the time, in seconds, from which `look` counts."""
        return time.monotonic()

    def look(self, env: Contract, since: float, *, limited: bool) -> None:
        """Tell of an episode that has lasted `LONG` steps or more, once, or end it.

        Args:
            env: In which it is played.
            since: When it began.
            limited: Whether a time limit ends it.

        Raises:
            TaskError: It never ends.
        """
        if limited or (env.steps < ENDLESS and (self._told or self.now() - since < SECONDS)):
            return
        if env.steps >= ENDLESS:
            raise TaskError(f"{env.where()} has still not ended; give it a time limit: {self._advice()}")
        self._told = True
        warnings.warn(
            f"{env.where()} has not ended yet. If it never does, give it a time limit: {self._advice()}. Without one "
            f"it is an error at step {ENDLESS:,}",
            stacklevel=2,
        )

    def _advice(self) -> str:
        if not isinstance(self._task.env, str):
            return "let what makes the environment return gymnasium.wrappers.TimeLimit(env, N)"
        limit = '{"max_episode_steps": N}'
        return f'`--env-kwargs max_episode_steps:N`, or `ac.Task("{self._task.env}", env_kwargs={limit})`'
