"""The instance of each registered method that is benchmarked: its defaults, or the fields below where it needs some.

A method that needs fields and has none here is taken from the tests' table, where each has a small instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError
from acclimate.registry import METHODS
from acclimate.tasks.task import Task
from acclimate.tuning.method import Method

RECORDED_STEPS = 2_000
"""Of the data set that `offline` is given: steps of the pretrained agent in the changed task, its actions sampled."""

FIELDS: Mapping[str, Mapping[str, Any]] = {
    "freeze": {"on": "critic"},
    "hold": {"steps": 2_000},
    "film": {"context": [2.0]},
    "jump-start": {"horizon": "100->0@0.5"},
}


def instance(name: str) -> Method:
    """Return the method to measure."""
    if name in FIELDS:
        return METHODS.build({name: dict(FIELDS[name])}, "benchmark")
    try:
        return METHODS.build(name, "benchmark")
    except ConfigError:
        from tests import cases

        return cases.METHODS[name]


def instance_on(name: str, agent: Agent, task: Task, folder: Path) -> Method:
    """Return the method to measure on an agent and a task; a data set that it needs is recorded in a folder."""
    if name != "offline":
        return instance(name)
    return METHODS.build({"offline": {"data": record(agent, task, folder)}}, "benchmark")


def record(agent: Agent, task: Task, folder: Path) -> str:
    """Write a Minari data set of the agent in the task, and return its path."""
    from minari.data_collector import EpisodeBuffer
    from tests.recorded import write

    env = task.make()
    episodes, left, seed = [], RECORDED_STEPS, 0
    while left > 0:
        observation, over = env.reset(seed=seed)[0], False
        episode = EpisodeBuffer(observations=[observation], actions=[], rewards=[], terminations=[], truncations=[])
        while not over:
            action, _ = agent.predict(observation)
            observation, reward, terminated, truncated, _ = env.step(action)
            episode.observations.append(observation)
            episode.actions.append(action)
            episode.rewards.append(float(reward))
            episode.terminations.append(bool(terminated))
            episode.truncations.append(bool(truncated))
            over = terminated or truncated
        episodes.append(episode)
        left, seed = left - len(episode.actions), seed + 1
    env.close()
    return write(folder, task.observation_space, task.action_space, episodes)
