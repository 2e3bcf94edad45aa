"""The cases: an agent that is trained here from scratch, and the change that it meets. Fixed before any run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acclimate.shifts.physics import Gravity
from acclimate.tasks.task import Task
from acclimate.tasks.wrappers import MaskVelocity
from benchmarks.kin.depot import Depot


@dataclass(frozen=True)
class Case:
    """An agent and a change."""

    name: str
    algorithm: str
    policy: str
    source: Task
    target: Task
    change: str
    """In words."""
    pretraining: int
    """Steps."""
    arguments: Mapping[str, Any]
    """Of the pretraining."""
    steps: int
    """Target steps of every row."""


BLIND = Task("CartPole-v1", wrappers=(MaskVelocity(),))
WALLS = ((1, 0), (1, 1), (1, 2), (1, 3))
CASES = (
    Case(
        name="RecurrentPPO CartPole without velocities, gravity 2",
        algorithm="recurrent_ppo",
        policy="MlpLstmPolicy",
        source=BLIND,
        target=BLIND.shifted(Gravity(2.0)),
        change="`gravity=2`",
        pretraining=80_000,
        arguments={
            "n_steps": 32,
            "batch_size": 256,
            "learning_rate": 1e-3,
            "gae_lambda": 0.8,
            "gamma": 0.98,
            "policy_kwargs": {"net_arch": [32], "lstm_hidden_size": 32},
        },
        steps=20_000,
    ),
    Case(
        name="MaskablePPO Depot, a wall before the depot",
        algorithm="maskable_ppo",
        policy="MlpPolicy",
        source=Task(Depot),
        target=Task(Depot, env_kwargs={"walls": WALLS}),
        change="a wall of four cells, which leaves one way around it to the depot",
        pretraining=60_000,
        arguments={"n_steps": 128, "batch_size": 64, "gamma": 0.97, "ent_coef": 0.01},
        steps=30_000,
    ),
)
PRETRAINING_ENVS = 8
