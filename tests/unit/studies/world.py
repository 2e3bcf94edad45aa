"""A small study for the tests: a tiny agent's file, and the world of the tests under an id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym

from acclimate.shifts import parse
from acclimate.studies.study import Case, Row, Study
from acclimate.tasks.task import Task
from tests import world

MIDDLE = "tests.unit.studies.world:MiddleDot-v0"
gym.register("MiddleDot-v0", entry_point="tests.world:Dot")


def saved(name: str, folder: Path) -> str:
    """Write a tiny agent of an algorithm, and return where."""
    path = folder / f"{name}.zip"
    world.agent(name).save(path)
    return str(path)


def study(agent: Any, name: str = "ppo", **more: Any) -> Study:
    """Return a study of one case that is over in no time."""
    task = Task(MIDDLE, env_kwargs={"discrete": name in world.DISCRETE}).shifted(parse("reward_scale=0.5"))
    case = Case(name="half the pay", agent=agent, task=task)
    rows = (Row(name="acclimate", recipe={"warm_start": {"probe_episodes": 1}}),)
    sizes = {"seeds": 2, "steps": 300, "points": 2, "point_episodes": 2, "episodes": 3}
    return Study(**{"cases": (case,), "rows": rows, **sizes, **more})
