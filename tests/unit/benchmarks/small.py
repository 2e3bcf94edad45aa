"""Workloads as the engine's benchmark has them, small enough for a test."""

from __future__ import annotations

import dataclasses

from benchmarks.peers import workload
from benchmarks.peers.workload import Workload

SMALL = {
    "ppo": Workload("ppo", "CartPole-v1", {**workload.PPO, "n_steps": 8, "batch_size": 8, "n_epochs": 2}, n_envs=2),
    "ppo continuous": Workload(
        "ppo",
        "Pendulum-v1",
        {**workload.PPO, "n_steps": 8, "batch_size": 4, "n_epochs": 1},
        activation="relu",
        normalized=True,
    ),
    "sac": dataclasses.replace(workload.SAC, env="Pendulum-v1", net_arch=(8, 8)),
    "td3": dataclasses.replace(workload.TD3, env="Pendulum-v1", net_arch=(8, 8)),
    "dqn": dataclasses.replace(workload.DQN, env="CartPole-v1", net_arch=(8, 8)),
}


SHORT = {"learning_starts": 10, "buffer_size": 100, "batch_size": 4, "target_update_interval": 5}


def small(name: str) -> Workload:
    work = SMALL[name]
    short = {key: value for key, value in SHORT.items() if key in work.arguments and work.algorithm != "ppo"}
    return dataclasses.replace(work, arguments={**work.arguments, **short})
