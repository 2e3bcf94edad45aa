"""One case: an agent, the world it is to be tuned to, the world it comes from, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acclimate.agents.agent import Agent
from acclimate.planning.recipe import Recipe
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
        source = None if self.source is None else _identity(self.source)
        return {"agent": self.agent.origin.sha256, "task": _identity(self.task), "source": source}


def _identity(task: Task) -> Any:
    """Return all of a task, or its name where it is a callable."""
    return task.to_config() if isinstance(task.env, str) else task.describe()
