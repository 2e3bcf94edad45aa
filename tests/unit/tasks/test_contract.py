"""What an environment gives is checked where it is given, whoever steps it; what it cannot help is not blamed on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.agents.load import load
from acclimate.errors import DivergenceError, TaskError
from acclimate.evaluation.evaluate import evaluate, evaluate_random
from acclimate.evaluation.rollouts import collect
from acclimate.planning.recipe import EvaluationPlan, Recipe, WarmStart
from acclimate.runs.finetune import finetune
from acclimate.tasks.contract import Contract, finite
from acclimate.tasks.task import Task

NAN, INF = float("nan"), float("inf")
SPACES = {
    "vector": Box(-INF, INF, (2,), np.float32),
    "doubles": Box(-INF, INF, (2,), np.float64),
    "table": Box(-INF, INF, (2, 3), np.float32),
    "dict": Dict(a=Box(-INF, INF, (2,), np.float32), b=Discrete(3)),
}
LENGTH = 6


def spoilt(space: gym.Space[Any], seen: Any, number: float) -> Any:
    """Return an observation with one number of it replaced."""
    if isinstance(space, Dict):
        return seen | {"a": spoilt(space["a"], seen["a"], number)}
    seen = seen.copy()
    seen.flat[-1] = number
    return seen


class Glitch(gym.Env):
    """Goes wrong at one step of its life, by its reward, by what it shows, or by what it raises."""

    def __init__(self, space: str = "vector", what: str = "nothing", value: float = NAN, at: int = 9, n: int = 0):
        self.observation_space = SPACES[space]
        self.action_space = Discrete(n) if n else Box(-1.0, 1.0, (1,), np.float32)
        self.what, self.value, self.at, self.life = what, value, at, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left = LENGTH
        return self._seen("nothing"), {}

    def step(self, action: Any) -> Any:
        self.left, self.life = self.left - 1, self.life + 1
        wrong = self.what if self.life == self.at else "nothing"
        if wrong == "raises":
            raise ArithmeticError("gear")
        reward = self.value if wrong == "reward" else 1.0
        return self._seen(wrong), reward, False, self.left == 0, {}

    def _seen(self, wrong: str) -> Any:
        space = self.observation_space
        parts = {"a": np.ones(2, np.float32), "b": 1}
        seen = parts if isinstance(space, Dict) else np.ones(space.shape, space.dtype)
        return spoilt(space, seen, self.value) if wrong == "observation" else seen


SAID = {
    "reward": "gave the reward {value}, which is not finite in 32 bits",
    "observation": "gave an observation with a number that is not finite",
    "raises": "raised ArithmeticError: gear",
}
WAYS: dict[str, Callable[[Any, Task], Any]] = {
    "evaluation": lambda agent, task: evaluate(agent, task, episodes=3, seed=70, n_envs=1),
    "chance": lambda agent, task: evaluate_random(task, episodes=3, seed=70, n_envs=1),
    "rollouts": lambda agent, task: collect(agent, task, 20, seed=70),
    "vector": lambda agent, task: stepped(task, "dummy"),
    "forks": lambda agent, task: stepped(task, "auto"),
}


def stepped(task: Task, kind: Any) -> None:
    venv = task.vector(2, seed=70, kind=kind)
    try:
        venv.reset()
        for _ in range(20):
            venv.step(np.zeros((2, 1), np.float32))
    finally:
        venv.close()


def agent(space: str, kind: type[BaseAlgorithm] = PPO, n: int = 0) -> Any:
    policy = "MultiInputPolicy" if space == "dict" else "MlpPolicy"
    return load(kind(policy, Glitch(space, n=n), policy_kwargs={"net_arch": [4]}, device="cpu", seed=0))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("what", "value"), [("reward", NAN), ("observation", -INF), ("raises", NAN)])
def test_whoever_steps_names_environment_episode_seed_and_step(
    way: str, space: str, what: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acclimate.tasks.task.processes", lambda make, n: n)
    task = Task(Glitch, env_kwargs={"space": space, "what": what, "value": value})
    with pytest.raises(TaskError) as caught:
        WAYS[way](agent(space), task)
    seed = "seed 71" if way in ("evaluation", "chance") else "since the reset with seed 7[01]"
    said = f"Glitch, episode 1 \\({seed}\\), step 3, {SAID[what].format(value=value)}; mend the environment.*"
    assert re.fullmatch(said, str(caught.value))


@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e39])
def test_a_reward_has_to_be_finite_as_it_is_learnt_from(value: float) -> None:
    with pytest.raises(TaskError, match="gave the reward"):
        evaluate_random(Task(Glitch, env_kwargs={"what": "reward", "value": value}), episodes=3, n_envs=1)
    evaluate_random(Task(Glitch, env_kwargs={"what": "reward", "value": 1e38}), episodes=3, n_envs=1)


@pytest.mark.parametrize(("kind", "n"), [(PPO, 0), (PPO, 3), (A2C, 0), (DQN, 3), (SAC, 0), (TD3, 0)])
@pytest.mark.parametrize("engine", ["auto", "sb3"])
@pytest.mark.parametrize("what", ["reward", "observation"])
def test_training_ends_at_once_and_blames_no_learning_rate(
    kind: type[BaseAlgorithm], n: int, engine: str, what: str
) -> None:
    """The wrong number comes late: only the environment that training steps lives for so long."""
    task = Task(Glitch, env_kwargs={"what": what, "at": 299, "n": n})
    few = EvaluationPlan(points=1, episodes=1, final_episodes=2, judging_episodes=2, n_envs=1)
    own = {"n_steps": 8} if kind in (PPO, A2C) else {"learning_starts": 8, "batch_size": 8}
    own |= {"batch_size": 8} if kind is PPO else {}
    asked = Recipe(
        steps=800, n_envs=1, engine=engine, evaluation=few, algorithm=own, warm_start=WarmStart(probe_episodes=1)
    )
    with pytest.raises(TaskError, match=r"Glitch, episode 49 \(since the reset with seed 40000\), step 5, gave"):
        finetune(agent("vector", kind, n), task, asked, progress=False)


@pytest.mark.parametrize("way", WAYS)
def test_an_info_is_a_dict(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Glitch):
        def step(self, action: Any) -> Any:
            return *super().step(action)[:-1], None

    monkeypatch.setattr("acclimate.tasks.task.processes", lambda make, n: n)
    with pytest.raises(TaskError, match="step 1, gave a NoneType as `info`, which is to be a dict"):
        WAYS[way](agent("vector"), Task(Silent))


def test_a_policy_that_has_left_the_numbers_is_no_fault_of_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    class Echo(Glitch):
        def step(self, action: Any) -> Any:
            seen, reward, *rest = super().step(action)
            return seen, reward * float(action[0]), *rest

    diverged = agent("vector", TD3)
    with torch.no_grad():
        next(diverged.model.policy.actor.parameters()).fill_(NAN)
    with pytest.raises(DivergenceError, match=r"Echo, episode 0 \(seed 70\), step 1, got an action that is not finite"):
        evaluate(diverged, Task(Echo), episodes=1, seed=70)
    sane = Contract(Echo(), "Echo")
    sane.reset(seed=1)
    with pytest.raises(DivergenceError):
        sane.step(np.array([NAN], np.float32))
    monkeypatch.setattr(sane.env, "_seen", lambda wrong: np.full(2, NAN))
    with pytest.raises(TaskError, match=r"episode 1 \(seed 2\), step 0, gave an observation"):
        sane.reset(seed=2)  # which is long after that action


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (40, 50)])
def test_finite_means_each_number(dtype: Any, shape: tuple[int, ...]) -> None:
    """Large numbers are finite, although their squares are not."""
    for number in (0.0, np.finfo(dtype).max, np.finfo(dtype).tiny):
        assert finite(np.full(shape, number, dtype))
    for wrong in (NAN, INF, -INF):
        for place in range(0, int(np.prod(shape)), 7):
            values = np.full(shape, np.finfo(dtype).max, dtype)
            values[np.unravel_index(place, shape)] = wrong
            assert not finite(values)
            assert not finite({"image": np.zeros(3, np.uint8), "rest": (values, 1)})
    assert not finite([1.0, NAN])
    assert finite(3)
    assert finite(np.full((2, 2), 255, np.uint8))


def test_episodes_are_counted_and_seeds_are_said_where_they_are_known() -> None:
    env = Contract(Glitch(), "Glitch")
    said = []
    for seed in (None, 5, None, None, 6):
        env.reset(seed=seed)
        env.step(np.zeros(1, np.float32))
        said.append(env.where())
    assert said == [
        "Glitch, episode 0, step 1,",
        "Glitch, episode 1 (seed 5), step 1,",
        "Glitch, episode 2 (since the reset with seed 5), step 1,",
        "Glitch, episode 3 (since the reset with seed 5), step 1,",
        "Glitch, episode 4 (seed 6), step 1,",
    ]
