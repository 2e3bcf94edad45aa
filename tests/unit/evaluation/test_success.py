"""Success, where the environment tells of it: kept by episode, summed up, compared, written and read."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from acclimate.errors import ConfigError
from acclimate.evaluation.evaluate import Evaluation, evaluate_random
from acclimate.tasks.task import Task


class Push(gym.Env):
    """Tells at the end of an episode what `says` has for its seed, and the opposite before."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, says: tuple[Any, ...] = (), limit: int = 10) -> None:
        self.says, self.limit = says, limit

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.seed, self.steps = int(seed or 0), 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        done, limited = self.steps == 2 + self.seed % 3, self.steps == self.limit
        told = self.says[self.seed % len(self.says)] if self.says else None
        info = {} if told is None else {"is_success": told if done or limited else not told}
        return np.zeros(1, np.float32), 1.0, done, limited, info


def told(*says: Any, n_envs: int = 2, **more: Any) -> Evaluation:
    return evaluate_random(Task(Push, env_kwargs={"says": says, **more}), episodes=6, seed=60, n_envs=n_envs)


@pytest.mark.parametrize("n_envs", [1, 2, 6])
@pytest.mark.parametrize("limit", [10, 2])
def test_what_the_last_step_tells_counts_in_the_order_of_the_seeds(n_envs: int, limit: int) -> None:
    found = told(True, False, False, n_envs=n_envs, limit=limit)
    assert found.successes.tolist() == [True, False, False] * 2
    assert found.success.value == pytest.approx(1 / 3)
    assert found.success.n == 6
    summary = found.summary()
    assert summary["success"] == found.success.value
    assert summary["success_ci95"] == [found.success.low, found.success.high]


@pytest.mark.parametrize(
    "kind", [bool, int, float, np.bool_, np.float32, lambda x: np.array([x]), lambda x: np.array(x)]
)
def test_yes_and_no_in_whatever_type(kind: Any) -> None:
    assert told(kind(True), kind(False)).successes.tolist() == [True, False] * 3


@pytest.mark.parametrize("odd", [0.5, "yes", float("nan"), np.array([True, False]), {}, ()])
def test_what_is_not_yes_or_no_is_not_told(odd: Any) -> None:
    class Odd(Push):
        def step(self, action: Any) -> Any:
            *rest, info = super().step(action)
            return *rest, info | ({"is_success": odd} if self.seed % 2 else {})

    found = evaluate_random(Task(Odd, env_kwargs={"says": (True,)}), episodes=6, seed=60)
    assert found.successes.tolist() == [True, None] * 3
    assert (found.success.value, found.success.n) == (1.0, 3), "SB3 counts those that tell, too"


def test_a_world_that_does_not_tell_is_as_before() -> None:
    found = told()
    assert found.successes is None
    assert found.success is None
    assert "success" not in found.summary()
    assert set(found.to_json()) == {"returns", "lengths", "seeds", "deterministic"}
    assert found.success_minus(told(True)) is None
    assert told(True).success_minus(found) is None


@pytest.mark.parametrize("says", [(), (True, False), (None, True, False), (True,)])
def test_it_is_written_and_read(says: tuple[Any, ...]) -> None:
    found = told(*says)
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    back = Evaluation.from_json(data)
    assert (back.successes is None) == (found.successes is None)
    assert back.to_json() == data
    assert back.success == found.success


def test_what_was_written_before_is_read() -> None:
    old = {"returns": [1.0, 2.0], "lengths": [3, 4], "seeds": [5, 6], "deterministic": True}
    assert Evaluation.from_json(old).successes is None
    for wrong in ([True], [True, 2], "yes", [0.5, None]):
        with pytest.raises(ConfigError):
            Evaluation.from_json(old | {"successes": wrong})


def test_agents_are_compared_where_both_tell() -> None:
    gap = told(True, True, None).success_minus(told(True, False, False))
    assert (gap.value, gap.n) == (pytest.approx(0.5), 4)
    assert gap.low < 0.5 < gap.high
    assert told(True, None).success_minus(told(None, True)) is None
    other = evaluate_random(Task(Push, env_kwargs={"says": (True,)}), episodes=6, seed=61)
    with pytest.raises(ConfigError, match="different episodes"):
        told(True).success_minus(other)
