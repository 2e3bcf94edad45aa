"""Environments in several processes: the numbers of SB3's DummyVecEnv, questions answered, ends that are said."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from acclimate.errors import TaskError
from acclimate.parallel.cores import cheapest, processes
from acclimate.parallel.stepping import stepping
from acclimate.parallel.vector import ForkedVecEnv
from acclimate.tasks.task import Task
from tests.unit.parallel.test_stepping import assert_same_step

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def makers(name: str, n: int) -> list[Any]:
    return [lambda: Monitor(gym.make(name, max_episode_steps=7)) for _ in range(n)]


class Odd(gym.Env):
    """Shows a dictionary; ends as it is told."""

    observation_space = spaces.Dict({"a": spaces.Box(-1, 1, (2,), np.float32), "b": spaces.Discrete(3)})
    action_space = spaces.Discrete(4)

    def __init__(self, place: int) -> None:
        self.place, self.label = place, f"number {place}"

    def _seen(self) -> dict[str, Any]:
        return {"a": np.full(2, self.place, np.float32), "b": self.place % 3}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return self._seen(), {"place": self.place, "options": options}

    def step(self, action: Any) -> Any:
        if action == 1:
            raise TaskError(f"environment {self.place} is worn out")
        if action == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return self._seen(), float(self.place), action == 3, False, {"array": np.arange(self.place)}

    def double(self, of: int, *, more: int = 0) -> int:
        return 2 * of + more + self.place


def odd(n: int = 5, shares: int = 3) -> ForkedVecEnv:
    return ForkedVecEnv([lambda i=i: Odd(i) for i in range(n)], shares)


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize(("name", "n", "shares"), [("CartPole-v1", 5, 2), ("CartPole-v1", 3, 3), ("Hopper-v5", 4, 2)])
def test_steps_are_those_of_sb3(name: str, n: int, shares: int, normalised: bool) -> None:
    theirs: Any = DummyVecEnv(makers(name, n))
    ours: Any = ForkedVecEnv(makers(name, n), shares)
    theirs.seed(3)
    ours.seed(3)
    if normalised:
        theirs, ours = VecNormalize(theirs, gamma=0.9), VecNormalize(ours, gamma=0.9)
    step = stepping(ours)
    assert np.array_equal(theirs.reset(), ours.reset())
    assert theirs.reset_infos == ours.reset_infos
    theirs.action_space.seed(0)
    for _ in range(20):
        actions = np.array([theirs.action_space.sample() for _ in range(n)])
        one, other = theirs.step(actions), step(actions)
        assert_same_step(one, other)
    ours.close()


class Kept(gym.Env):
    """Shows a vector; says what it is told to."""

    observation_space = spaces.Box(-9, 9, (2,), np.float32)
    action_space = spaces.Discrete(5)

    def __init__(self) -> None:
        self.steps = 0
        self.given: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        self.given.append(action)
        if action == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if action == 4:
            raise TaskError("worn out")
        info: dict[str, Any] = {"steps": self.steps, "half": self.steps / 2}
        if action == 1:
            info["word"] = "other"
        return np.full(2, self.steps, np.float32), 1.0, action == 3, False, info


@pytest.mark.parametrize("asleep", [False, True])
@pytest.mark.parametrize(("action", "said"), [(2, "has died"), (4, "worn out")])
def test_failures_of_plain_steps_are_said(action: int, said: str, asleep: bool) -> None:
    env = ForkedVecEnv([Kept] * 4, 2)
    env.reset()
    for _ in range(3):
        env.step(np.zeros(4, int))
    if asleep:
        time.sleep(0.02)
    with pytest.raises(TaskError, match=said):
        env.step(np.array([0, 0, action, 0]))
    if action == 4:
        assert list(env.step(np.zeros(4, int))[1]) == [1.0] * 4
        assert env.get_attr("steps") == [5, 5, 5, 4]
    env.close()


def test_a_training_is_the_same() -> None:
    found = []
    for env in (DummyVecEnv(makers("CartPole-v1", 4)), ForkedVecEnv(makers("CartPole-v1", 4), 2)):
        model = PPO("MlpPolicy", env, n_steps=16, batch_size=16, n_epochs=2, seed=0, device="cpu").learn(128)
        found.append(model.policy.parameters_to_vector().copy())
        env.close()
    assert np.array_equal(*found)


def test_questions_are_answered_by_the_right_environment() -> None:
    env = odd()
    assert env.get_attr("label") == [f"number {i}" for i in range(5)]
    assert env.get_attr("place", [4, 0, 2]) == [4, 0, 2]
    assert env.env_method("double", 10, more=1) == [21, 22, 23, 24, 25]
    assert env.env_method("double", 10, indices=3) == [23]
    env.set_attr("label", "new", [1, 4])
    assert env.get_attr("label") == ["number 0", "new", "number 2", "number 3", "new"]
    assert env.env_is_wrapped(Monitor) == [False] * 5
    env.set_options({"x": 1})
    seen = env.reset()
    assert seen["a"].shape == (5, 2)
    assert list(seen["b"]) == [0, 1, 2, 0, 1]
    assert [info["place"] for info in env.reset_infos] == list(range(5))
    assert env.reset_infos[4]["options"] == {"x": 1}
    seen, rewards, dones, infos = env.step(np.array([0, 0, 0, 3, 0]))
    assert list(rewards) == list(range(5))
    assert list(dones) == [False, False, False, True, False]
    assert np.array_equal(infos[4]["array"], np.arange(4))
    assert env.reset_infos[3]["place"] == 3
    env.close()
    env.close()


@pytest.mark.parametrize("place", [0, 2, 4])
def test_what_an_environment_raises_comes_here(place: int) -> None:
    env = odd()
    env.reset()
    actions = np.zeros(5, int)
    actions[place] = 1
    with pytest.raises(TaskError, match=f"environment {place} is worn out"):
        env.step(actions)
    # No answer is left behind for the next question.
    assert env.get_attr("place") == list(range(5))
    assert list(env.step(np.zeros(5, int))[1]) == list(range(5))
    env.close()


def test_a_process_that_dies_is_said() -> None:
    env = odd()
    env.reset()
    with pytest.raises(TaskError, match="has died"):
        env.step(np.array([0, 0, 0, 0, 2]))
    env.close()


def test_an_environment_that_cannot_be_made_is_said() -> None:
    def broken() -> gym.Env:
        raise TaskError("no such world")

    with pytest.raises(TaskError, match="no such world"):
        ForkedVecEnv([lambda: Odd(0), broken], 2)


def test_processes_end_with_the_one_that_made_them() -> None:
    """Killed outright, it can close nothing; its children still learn of it."""
    code = """
        import time
        from tests.unit.parallel.test_vector import odd
        env = odd(6, 4)
        env.reset()
        print(*(p.pid for p in env.processes), flush=True)
        time.sleep(60)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    pids = [int(word) for word in child.stdout.readline().split()]
    assert len(pids) == 3
    child.kill()
    child.wait()
    deadline = time.monotonic() + 20
    while any(_lives(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_several_cores_are_taken_where_they_pay() -> None:
    for exchange in (3e-5, 1.5e-4):
        assert cheapest(100e-6, 8, 2, exchange) == 2
        assert cheapest(1e-3, 6, 4, exchange) in (3, 4)
        assert cheapest(1.0, 1, 1, exchange) == 1
    assert cheapest(25e-6, 8, 2, 1.5e-4) == 1
    assert cheapest(25e-6, 8, 2, 3e-5) == 2


def test_only_environments_that_bear_a_fork_are_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acclimate.parallel.cores._cores", lambda: 2)
    monkeypatch.setattr("acclimate.parallel.cores._seconds", lambda env: 1e-3)
    assert processes(Task("CartPole-v1").make, 8) == 2
    assert processes(Task("CartPole-v1").make, 1) == 1
    assert processes(Task(lambda: Odd(0)).make, 8) == 1
    env = Task("Hopper-v5").vector(4, seed=0, kind="auto")
    assert type(env) is ForkedVecEnv
    env.close()
    monkeypatch.setattr("acclimate.parallel.cores._cores", lambda: 1)
    assert type(Task("Hopper-v5").vector(4, seed=0, kind="auto")) is DummyVecEnv


def _worker(n: int) -> str:
    with closing(Task("Hopper-v5").vector(n, seed=0, kind="auto")) as env:
        return type(env).__name__


def test_a_worker_of_a_pool_steps_its_environments_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have no processes of its own; seeds are often run in a pool."""
    monkeypatch.setattr("acclimate.parallel.cores._cores", lambda: 2)
    monkeypatch.setattr("acclimate.parallel.cores._seconds", lambda env: 1e-3)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map(_worker, [4]) == ["DummyVecEnv"]
