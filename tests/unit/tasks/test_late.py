"""An environment of which only one may be open: a run with one of everything never opens two."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch.nn.utils import parameters_to_vector

from acclimate.errors import TaskError
from acclimate.evaluation.evaluate import evaluate
from acclimate.methods.ewc import EWC
from acclimate.methods.l2sp import L2SP
from acclimate.methods.prior_replay import PriorReplay
from acclimate.methods.wise import WiSE
from acclimate.runs.finetune import finetune
from acclimate.tasks.late import Late
from acclimate.tasks.task import Task
from acclimate.tuning.method import Method
from tests.world import Dot, agent, recipe


class Port(Dot):
    """Takes the only port there is until it is closed."""

    taken = False
    opened = 0

    def __init__(self, **kwargs: Any) -> None:
        if Port.taken:
            raise ConnectionError("the port is in use")
        super().__init__(**kwargs)
        Port.taken, self.mine = True, True
        Port.opened += 1

    def close(self) -> None:
        if not self.mine:
            raise ConnectionError("closed twice")
        Port.taken = self.mine = False


@pytest.fixture(autouse=True)
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Port, "taken", False)


def port(name: str, offset: float = 0.0) -> Task:
    return Task(Port, env_kwargs={"discrete": name == "dqn", "offset": offset})


ONE = {"n_envs": 1, "steps": 400, "evaluation": {"n_envs": 1, "episodes": 1, "final_episodes": 2, "points": 1}}


@pytest.mark.parametrize("with_source", [False, True])
@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("ppo", EWC(stored=16)),
        ("ppo", WiSE()),
        ("sac", PriorReplay(steps=16)),
        ("dqn", L2SP()),
        *(pytest.param(name, L2SP(), marks=pytest.mark.nightly) for name in ("a2c", "td3", "trpo")),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_run_with_one_of_everything_opens_one_at_a_time(name: str, method: Method, with_source: bool) -> None:
    source = port(name) if with_source or isinstance(method, EWC | PriorReplay) else None
    before = Port.opened
    finetune(agent(name), port(name, 0.5), recipe(**ONE, methods=(method,)), source=source, progress=False)
    assert not Port.taken
    assert Port.opened > before + 5, "a run opens many, one after another"


NAMES = ["ppo", "sac", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("a2c", "dqn", "td3", "trpo"))]


class Trained(BaseCallback):
    """Keeps the weights with which training ends."""

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self.weights = parameters_to_vector(self.model.policy.parameters()).detach().clone()


@pytest.mark.parametrize("name", NAMES)
def test_measuring_takes_the_place_of_training_between_two_episodes(name: str) -> None:
    """Three times between episodes and once at the end, and training learns what it learns without."""
    ended = []
    for points in (1, 4):
        seen = Trained()
        asked = recipe(n_envs=1, steps=400, averaging=0.0, evaluation={"episodes": 2, "points": points})
        done = finetune(agent(name), port(name, 0.5), asked, callback=seen, progress=False)
        assert len(done.report.curve) == 1 + points, "before training as well"
        assert not Port.taken
        ended.append(seen.weights)
    assert torch.equal(*ended)


def test_who_needs_two_is_told_how_to_keep_to_one() -> None:
    with pytest.raises(TaskError, match=r"Port raised ConnectionError: the port is in use.* set n_envs to 1"):
        evaluate(agent("ppo"), port("ppo"), episodes=2)
    assert not Port.taken


def test_an_episode_that_was_begun_is_begun_again_after_a_rest() -> None:
    spaces = Dot()
    rested, stayed = (Late(Dot, spaces.observation_space, spaces.action_space) for _ in range(2))
    for env in (rested, stayed):
        env.reset(seed=3)
        env.step(np.zeros(1, np.float32))
    assert not rested.rest(), "in the middle of an episode it stays open"
    begun = [env.reset()[0] for env in (rested, stayed)]
    assert np.array_equal(*begun)
    assert rested.rest()
    after = [env.step(np.full(1, 0.5, np.float32)) for env in (rested, stayed)]
    assert np.array_equal(after[0][0], after[1][0])
    assert after[0][1:4] == after[1][1:4]


def test_it_is_opened_for_whoever_asks_and_anew_after_its_end() -> None:
    before = Port.opened
    spaces = Dot()
    env = gym.Wrapper(Late(Port, spaces.observation_space, spaces.action_space))
    assert env.unwrapped is env.env
    env.close()
    assert Port.opened == before
    assert env.get_wrapper_attr("total") == 0
    assert env.has_wrapper_attr("offset")
    assert not env.has_wrapper_attr("colour")
    assert env.set_wrapper_attr("offset", 3.0)
    assert isinstance(env.unwrapped, Port)
    assert env.unwrapped.offset == 3.0
    env.close()
    env.close()
    assert env.reset(seed=1)[0].shape == (2,)
    assert Port.opened == before + 2
    env.close()


def test_late_or_not_the_first_episode_of_a_vector_is_the_same() -> None:
    played = []
    for late in (False, True):
        venv = Task(Dot).vector(1, seed=7, late=late)
        steps = [venv.reset(), *(venv.step(np.array([[0.3]], np.float32))[:3] for _ in range(7))]
        played.append(np.concatenate([np.ravel(part) for step in steps for part in step]))
        venv.close()
    assert np.array_equal(*played)


def test_evaluating_with_one() -> None:
    assert len(evaluate(agent("ppo"), port("ppo"), episodes=3, n_envs=1).returns) == 3
