"""A world of one dot on a line, agents for it, and recipes that are over soon."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from acclimate.agents.agent import Agent
from acclimate.agents.load import load
from acclimate.evaluation.seeds import TRAINING_SEED
from acclimate.planning.recipe import EvaluationPlan, Recipe, WarmStart
from acclimate.sb3.vocabulary import ALGORITHMS
from acclimate.tasks.task import Task

LENGTH = 8


class Dot(gym.Env):
    """Push a dot to the middle of a line: the return is what it is away, summed over eight steps."""

    def __init__(
        self,
        *,
        discrete: bool = False,
        offset: float = 0.0,
        trace: list[tuple[int | None, list[Any]]] | None = None,
        wrong: Callable[[Dot], float] | None = None,
    ) -> None:
        """Prepare.

        Args:
            discrete: three actions in place of a force.
            offset: where the middle is.
            trace: gets the first seed of each environment and all of its actions.
            wrong: is asked in training environments for a reward to add; it may raise.
        """
        self.observation_space = spaces.Box(-5.0, 5.0, (2,), np.float32)
        self.action_space = spaces.Discrete(3) if discrete else spaces.Box(-2.0, 2.0, (1,), np.float32)
        self.offset, self.wrong = offset, wrong
        self.seed_of: int | None = None
        self.total = 0
        self.actions: list[Any] = []
        self.trace = trace

    @property
    def trains(self) -> bool:
        return self.seed_of is not None and self.seed_of >= TRAINING_SEED

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if self.seed_of is None:
            self.seed_of = seed
            if self.trace is not None:
                self.trace.append((seed, self.actions))
        self.left, self.x = LENGTH, float(self.np_random.uniform(-1, 1))
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.actions.append(np.array(action))
        push = int(action) - 1 if isinstance(self.action_space, spaces.Discrete) else float(action[0]) / 2
        self.x = float(np.clip(self.x + 0.5 * push, -5, 5))
        self.left -= 1
        self.total += 1
        reward = -abs(self.x - self.offset)
        if self.wrong is not None and self.trains:
            reward += self.wrong(self)
        return self._seen(), reward, False, self.left == 0, {}

    def _seen(self) -> np.ndarray:
        return np.array([self.x, 1.0], np.float32)


class Fenced(Dot):
    """The same by three choices, two of which lead off a stretch of the line and raise at its ends."""

    def action_masks(self) -> np.ndarray:
        return np.array([self.x > -0.5, True, self.x < 0.5])

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if not self.action_masks()[action]:
            raise ValueError(f"illegal move {action} at {self.x}")
        return super().step(action)


ARGUMENTS: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 16, "batch_size": 16, "n_epochs": 2},
    "a2c": {"n_steps": 8},
    "trpo": {"n_steps": 16, "batch_size": 16},
    "maskable_ppo": {"n_steps": 16, "batch_size": 16, "n_epochs": 2},
    "recurrent_ppo": {"n_steps": 16, "batch_size": 16, "n_epochs": 1},
    "ars": {"n_delta": 1},
    **{
        name: {"learning_starts": 4, "batch_size": 8, "buffer_size": 200}
        for name in ("sac", "td3", "ddpg", "dqn", "qrdqn", "tqc")
    },
}
DISCRETE = ("dqn", "qrdqn", "maskable_ppo")
TUNABLE = ("ppo", "a2c", "sac", "td3", "dqn", "trpo", "recurrent_ppo", "maskable_ppo")


def kind(name: str) -> type[Dot]:
    """Return the world that suits an algorithm."""
    return Fenced if name == "maskable_ppo" else Dot


def model(
    name: str, *, discrete: bool | None = None, normalize: bool = False, steps: int = 32, **more: Any
) -> BaseAlgorithm:
    """Return a small SB3 model of the world, trained for a few steps."""
    discrete = name in DISCRETE if discrete is None else discrete
    venv: Any = DummyVecEnv([lambda: kind(name)(discrete=discrete)])
    if normalize:
        venv = VecNormalize(venv, gamma=0.9)
    policy = "MlpLstmPolicy" if name == "recurrent_ppo" else "MlpPolicy"
    arguments = {"policy_kwargs": {"net_arch": [8]}, **ARGUMENTS[name], **more}
    if name == "recurrent_ppo":
        arguments["policy_kwargs"] = {"net_arch": [4], "lstm_hidden_size": 4}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = ALGORITHMS[name](policy, venv, device="cpu", seed=3, **arguments)
        if steps:
            made.learn(steps)
    return made


def agent(name: str, **more: Any) -> Agent:
    """Return such a model as an agent."""
    return load(model(name, **more))


def linear(slope: float, bias: float = 0.0, *, std: float = 0.3, **more: Any) -> Agent:
    """Return a PPO agent whose mode is `slope * x + bias`, with a critic without a layer to hide."""
    made = model("ppo", steps=0, policy_kwargs={"net_arch": []}, **more)
    with torch.no_grad():
        made.policy.action_net.weight.copy_(torch.tensor([[slope, 0.0]]))
        made.policy.action_net.bias.fill_(bias)
        made.policy.log_std.fill_(float(np.log(std)))
    return load(made)


def task(name: str = "ppo", **kwargs: Any) -> Task:
    """Return the world for an algorithm."""
    return Task(kind(name), env_kwargs={"discrete": name in DISCRETE, **kwargs})


def recipe(
    *, warm_start: dict[str, Any] | None = None, evaluation: dict[str, Any] | None = None, **more: Any
) -> Recipe:
    """Return a recipe that is over in no time."""
    measured = {"points": 2, "episodes": 3, "final_episodes": 4, **(evaluation or {})}
    started = WarmStart(**{"probe_episodes": 1, **(warm_start or {})})
    return Recipe(**{"steps": 120, "warm_start": started, "evaluation": EvaluationPlan(**measured), **more})


def weights(of: Agent | BaseAlgorithm) -> dict[str, torch.Tensor]:
    """Return copies of all weights."""
    policy = (of.model if isinstance(of, Agent) else of).policy
    return {name: value.detach().clone() for name, value in policy.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Tell whether all weights are equal, bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def observations(n: int = 64, seed: int = 0) -> np.ndarray:
    """Return what may be seen in the world."""
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(-3, 3, n), np.ones(n)]).astype(np.float32)
