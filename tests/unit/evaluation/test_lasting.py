"""An episode that does not end is told of early, is an error late, and may take all of a time limit that it has."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor

from acclimate.errors import TaskError
from acclimate.evaluation import lasting, slot
from acclimate.evaluation.evaluate import evaluate_random
from acclimate.tasks.task import Task


class Long(gym.Env):
    """Ends after so many steps, if ever."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, steps: int = 10**9) -> None:
        self.steps = steps

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.left = self.steps
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.left -= 1
        return np.zeros(1, np.float32), 1.0, self.left == 0, False, {}


@pytest.fixture
def registered() -> Iterator[str]:
    gym.register("Long-v0", entry_point=Long)
    yield "Long-v0"
    del gym.registry["Long-v0"]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot, "LONG", 20)
    monkeypatch.setattr(lasting, "SECONDS", 0.0)
    monkeypatch.setattr(lasting, "ENDLESS", 50)


def told(task: Task, **more: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        evaluate_random(task, seed=70, **{"episodes": 4, "n_envs": 2, **more})
    return [str(each.message) for each in caught if "ended" in str(each.message)]


def test_a_long_episode_is_told_once_with_the_way_out(registered: str) -> None:
    (said,) = told(Task(registered, env_kwargs={"steps": 49}))
    assert said.startswith("Long-v0, episode 0 (seed 70), step 20, has not ended yet.")
    assert '`--env-kwargs max_episode_steps:N`, or `ac.Task("Long-v0", env_kwargs={"max_episode_steps": N})`' in said
    assert "it is an error at step 50" in said
    (said,) = told(Task(Long, env_kwargs={"steps": 49}))
    assert "let what makes the environment return gymnasium.wrappers.TimeLimit(env, N)" in said
    assert told(Task(Long, env_kwargs={"steps": 20})) == []


def test_nobody_is_told_before_it_has_taken_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "SECONDS", 60.0)
    assert told(Task(Long, env_kwargs={"steps": 49})) == []


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_an_endless_episode_is_an_error_whatever_the_time(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "SECONDS", seconds)
    with pytest.raises(TaskError, match=r"Long, episode 0 \(seed 70\), step 50, has still not ended; give it a time"):
        told(Task(Long))
    told(Task(Long, env_kwargs={"steps": 50}))


class Goes(gym.Wrapper):
    """Goes on within a game, whatever it is reset by."""

    over = True

    def reset(self, **given: Any) -> Any:
        return self.env.reset(**given) if self.over else (np.zeros(1, np.float32), {})

    def step(self, action: Any) -> Any:
        found = self.env.step(action)
        self.over = found[2] or found[3]
        return found


def test_a_limit_that_a_game_outlives_is_none() -> None:
    inside = Task(lambda: Goes(Monitor(gym.wrappers.TimeLimit(Long(), 70))))
    assert (told(inside), evaluate_random(inside, episodes=1).lengths[0]) == ([], 70)
    parts = Task(lambda: gym.wrappers.TimeLimit(Goes(Monitor(Long())), 7))
    with pytest.raises(TaskError, match=r"step 5[0-6], has still not ended"):
        told(parts)
    cut = Task(lambda: gym.wrappers.TimeLimit(Monitor(Long()), 70))
    assert (told(cut), evaluate_random(cut, episodes=1).lengths[0]) == ([], 70)


def test_the_way_out_is_one(registered: str) -> None:
    """What the message advises ends the episode, whatever the limit is, and nobody is told any more."""
    assert told(Task(registered, env_kwargs={"max_episode_steps": 70})) == []
    assert told(Task(lambda: gym.wrappers.TimeLimit(Long(), 70))) == []
    assert evaluate_random(Task(registered, env_kwargs={"max_episode_steps": 70}), episodes=1).lengths[0] == 70
