"""What a cell was made of: another agent, recipe, world or way of ours makes another cell, whatever its name."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from acclimate.agents.agent import Agent
from acclimate.errors import AcclimateError
from acclimate.studies import baselines
from acclimate.studies.cell import Key
from acclimate.studies.lines import lines
from acclimate.studies.study import UNTRAINED, Case, Study
from acclimate.tasks.identity import identity
from acclimate.tasks.task import Task

RESULTS = 1
"""Raised when a row that is always there would end with other numbers."""
OURS = 2
"""Raised when a row of ours would: another default, another judge."""


class Origins:
    """Of the cells of a study; each agent is read once."""

    def __init__(self, study: Study, *, trust: bool) -> None:
        self.study, self.trust = study, trust
        self._agents: dict[str, Agent | None] = {}

    def of(self, key: Key) -> str:
        """Return what tells a cell from one of the same name; empty where its agent cannot be read."""
        case = self.study.case(key.case)
        agent = self._agent(case)
        if agent is None:
            return ""
        study, steps = self.study, case.steps or self.study.steps
        parts: dict[str, Any] = {
            "results": RESULTS if study.row(key.row) is None else OURS,
            "agent": agent.origin.sha256 or _weights(agent),
            "normalizer": None if agent.normalizer is None else _hash(agent.normalizer),
            "worlds": [None if task is None else _world(task) for task in (case.task, case.home)],
            "episodes": [study.episodes, study.points, study.point_episodes],
        }
        row = study.row(key.row)
        if row is not None:
            parts["recipe"] = study.recipe(row, case, key.seed).to_dict()
        elif key.row not in UNTRAINED:
            parts["lines"] = lines(agent, baselines.way(key.row, agent, case.saved), steps)
            parts["engine"] = study.engine
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def _agent(self, case: Case) -> Agent | None:
        if case.name not in self._agents:
            try:
                self._agents[case.name] = case.loaded(trust=self.trust)
            except AcclimateError:
                self._agents[case.name] = None  # its cells say why
        return self._agents[case.name]


def _world(task: Task) -> Any:
    if isinstance(task.env, str):
        return task.to_config()
    return {
        "env": identity(task.env),
        "kwargs": identity(task.env_kwargs),
        "shifts": [str(shift) for shift in task.shifts],
    }


def _weights(agent: Agent) -> str:
    return _hash({name: value.cpu().numpy() for name, value in agent.model.policy.state_dict().items()})


def _hash(value: Any) -> str:
    found = hashlib.sha256()
    fields = value if isinstance(value, dict) else vars(value)
    for name in sorted(fields):
        part = fields[name]
        found.update(name.encode())
        if isinstance(part, dict):
            found.update(_hash(part).encode())
        else:
            found.update(np.ascontiguousarray(part).tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return found.hexdigest()
