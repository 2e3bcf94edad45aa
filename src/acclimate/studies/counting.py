"""How many steps each world was asked for, by whoever asked: no row of a table can forget one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import gymnasium as gym

from acclimate.tasks.task import Task
from acclimate.tasks.wrappers import Wrapper


@dataclass
class Ledger:
    """Counts environment steps by the name of the world."""

    steps: Counter[str] = field(default_factory=Counter)

    def over(self, name: str, task: Task) -> Task:
        """Return the task, each of whose environments writes its steps down here."""
        return replace(task, wrappers=(*task.wrappers, Counted(self, name)))


@dataclass(frozen=True)
class Counted(Wrapper):
    """Counts the steps of an environment."""

    ledger: Ledger
    world: str

    name: ClassVar[str] = "counted"

    def apply(self, env: gym.Env) -> gym.Env:
        """Wrap the environment."""
        return _Counting(env, self.ledger.steps, self.world)

    def to_config(self) -> str:
        """Say what it is; no file asks for one."""
        return self.name


class _Counting(gym.Wrapper):
    def __init__(self, env: gym.Env, steps: Counter[str], world: str) -> None:
        super().__init__(env)
        self._steps, self._world = steps, world

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Count, and take the step."""
        self._steps[self._world] += 1
        return self.env.step(action)
