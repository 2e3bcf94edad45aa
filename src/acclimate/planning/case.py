"""One case: an agent, the world it is to be tuned to, the world it comes from, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acclimate.agents.agent import Agent
from acclimate.planning.recipe import Recipe
from acclimate.tasks.identity import identity
from acclimate.tasks.task import Task


@dataclass(frozen=True)
class Case:
    """What is tuned, to what, from where and how."""

    agent: Agent
    """The pretrained agent, which stays as it is."""
    task: Task
    """The changed world."""
    source: Task | None
    """The world of pretraining, where it is at hand."""
    recipe: Recipe

    @property
    def worlds(self) -> Mapping[str, Task]:
        """The worlds by the names that a report gives them."""
        return {"target": self.task} if self.source is None else {"target": self.task, "source": self.source}

    def identity(self) -> dict[str, Any]:
        """Return what tells this case from others with the same recipe, as JSON-able data."""
        named = {name: self._named(task) for name, task in (("task", self.task), ("source", self.source))}
        carried = {name: _carried(task) for name, task in self.worlds.items()}
        return {"agent": self.agent.origin.sha256, **named, "callables": carried}

    @staticmethod
    def _named(task: Task | None) -> Any:
        """Return all of a task, or its name where it is a callable."""
        if task is None:
            return None
        return task.to_config() if isinstance(task.env, str) else task.describe()


def _carried(task: Task) -> Any:
    """Return what a callable carries besides its name, and what stands around it."""
    if isinstance(task.env, str):
        return None
    wrappers = [wrapper.to_config() for wrapper in task.wrappers]
    return {"env": identity(task.env), "env_kwargs": identity(task.env_kwargs), "wrappers": identity(wrappers)}
