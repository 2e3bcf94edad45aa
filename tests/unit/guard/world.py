"""A world whose sensors wander, agents for it, and worlds of every kind of observation."""

from __future__ import annotations

from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from acclimate.agents.agent import Agent
from acclimate.agents.load import load
from acclimate.guard.features import Standard
from acclimate.guard.filter import Filter, Hysteresis
from acclimate.guard.fitting import fit
from acclimate.guard.guard import Guard
from acclimate.guard.layout import Layout
from acclimate.guard.tiers.tier import Bounds, NotFinite
from acclimate.shifts.masks import choices
from acclimate.tasks.task import Task
from tests import tiny

LENGTH = 100
ALL = ("bounds", "rate", "mahalanobis", "latent", "knn", "statistics", "sequence", "uncertainty")


class Wander(gym.Env):
    """Three sensors that go back to zero, pushed by chance and a little by the action."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.action_space = spaces.Box(np.float32([-1, -0.3]), np.float32([1, 0.7]))
        self.x, self.left = np.zeros(3), 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.x, self.left = self.np_random.normal(size=3), LENGTH
        return self.x.astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        self.x = 0.8 * self.x + 0.6 * self.np_random.normal(size=3)
        self.x[:2] += 0.05 * action
        return self.x.astype(np.float32), float(-abs(self.x).sum()), False, self.left == 0, {}


class Sampled(tiny.World):
    """Observations of a space at random, by the seed of the episode."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self.observation_space.seed(seed)
        return super().reset(seed=seed, options=options)

    def action_masks(self) -> np.ndarray:
        return np.ones(choices(self.action_space), bool)


@cache
def agent() -> Agent:
    """Return an untrained PPO agent of `Wander`."""
    from stable_baselines3 import PPO

    return load(PPO("MlpPolicy", Wander(), n_steps=8, batch_size=8, policy_kwargs={"net_arch": [8]}, seed=1))


def task() -> Task:
    """Return `Wander` as a task."""
    return Task(Wander)


@cache
def fitted(*tiers: str, episodes: int = 60, alarms: float = 0.5, **more: Any) -> Guard:
    """Return a guard of `Wander`, by default with all tiers."""
    return fit(agent(), task(), tiers=tiers or ALL, episodes=episodes, alarms=alarms, **more)


def random_world(name: str) -> tuple[Agent, Task]:
    """Return a tiny agent of any algorithm, and a world of random observations for it."""
    observation_space, action_space = tiny.MODELS[name][2:4]
    made = load(tiny.model(name, steps=0))
    return made, Task(Sampled, env_kwargs={"observation_space": observation_space, "action_space": action_space})


def plain(entries: int = 2, hysteresis: Hysteresis | None = None) -> Filter:
    """Return a filter that wants numbers between -1 and 1, and has no other tier."""
    layout, one = Layout(spaces.Box(-np.inf, np.inf, (entries,), np.float32)), torch.ones(entries)
    made = Filter(
        layout, Standard(0 * one, one), [NotFinite(), Bounds(-one, one, one)], 0 * one, hysteresis or Hysteresis()
    )
    made.limits.zero_()
    return made


def wandered(steps: int = 400, rows: int = 1, seed: int = 0) -> torch.Tensor:
    """Return clean observations of `Wander`, (steps, rows, 3)."""
    random = np.random.default_rng(seed)
    x, found = random.normal(size=(rows, 3)), []
    for _ in range(steps):
        found.append(x)
        x = 0.8 * x + 0.6 * random.normal(size=(rows, 3))
    return torch.from_numpy(np.stack(found).astype(np.float32))
