"""What is trained, as plain data that every peer reads: the names of the arguments are those of Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Workload:
    """An algorithm on an environment."""

    algorithm: str
    """`ppo`, `sac`, `td3` or `dqn`."""
    env: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """All that the peers' defaults could differ in."""
    net_arch: tuple[int, ...] = (64, 64)
    """Hidden units of each network."""
    activation: str = "tanh"
    n_envs: int = 1
    normalized: bool = False
    """Whether observations and rewards are normalised by running statistics."""
    images: bool = False
    """Whether it is an Atari game, whose last four frames a NatureCNN sees; the hidden units are those behind it."""


PPO = {
    "learning_rate": 3e-4,
    "n_steps": 256,
    "batch_size": 64,
    "n_epochs": 10,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "ent_coef": 0.0,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
}
"""Stable-Baselines3's defaults, but for the shorter rollout of each of several environments."""
REPLAY = {"buffer_size": 100_000, "learning_starts": 300, "train_freq": 1, "gradient_steps": 1, "gamma": 0.99}
"""One update a step."""

CARTPOLE = Workload(
    "ppo",
    "CartPole-v1",
    {**PPO, "n_steps": 32, "batch_size": 256, "n_epochs": 20, "gae_lambda": 0.8, "gamma": 0.98, "learning_rate": 1e-3},
    n_envs=8,
)
HOPPER = Workload("ppo", "Hopper-v5", PPO, n_envs=8)
CHEETAH = Workload(
    "ppo",
    "HalfCheetah-v5",
    {
        "learning_rate": 2.0633e-05,
        "n_steps": 512,
        "batch_size": 64,
        "n_epochs": 20,
        "gamma": 0.98,
        "gae_lambda": 0.92,
        "clip_range": 0.1,
        "ent_coef": 0.000401762,
        "vf_coef": 0.58096,
        "max_grad_norm": 0.8,
    },
    net_arch=(256, 256),
    activation="relu",
    normalized=True,
)
"""What the zoo's `config.yml` says of its agent."""
ATARI = Workload(
    "ppo",
    "BreakoutNoFrameskip-v4",
    {
        **PPO,
        "n_steps": 128,
        "batch_size": 256,
        "n_epochs": 4,
        "learning_rate": 2.5e-4,
        "clip_range": 0.1,
        "ent_coef": 0.01,
    },
    net_arch=(),
    activation="relu",
    n_envs=8,
    images=True,
)
"""The RL Zoo's hyperparameters for Atari, without their decay."""
SAC = Workload(
    "sac",
    "HalfCheetah-v5",
    {**REPLAY, "learning_rate": 3e-4, "batch_size": 256, "tau": 0.005},
    net_arch=(256, 256),
    activation="relu",
)
TD3 = Workload(
    "td3",
    "Hopper-v5",
    {**REPLAY, "learning_rate": 1e-3, "batch_size": 256, "tau": 0.005, "policy_delay": 2},
    net_arch=(400, 300),
    activation="relu",
)
DQN = Workload(
    "dqn",
    "LunarLander-v3",
    {**REPLAY, "learning_rate": 1e-4, "batch_size": 128, "target_update_interval": 10_000},
    net_arch=(256, 256),
    activation="relu",
)
