"""Images, dictionaries and environments in processes of their own."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from acclimate.agents.load import load
from acclimate.errors import TaskError
from acclimate.methods.kl import KLToPrior
from acclimate.runs.finetune import finetune
from acclimate.tasks.task import Task
from tests.tiny import World
from tests.world import Dot, agent, recipe, same, task, weights

IMAGE = spaces.Box(0, 255, (36, 36, 1), np.uint8)
REACH = spaces.Box(-1.0, 1.0, (2,), np.float32)
PARTS = spaces.Dict(near=spaces.Box(-1.0, 1.0, (2,)), far=spaces.Box(-9.0, 9.0, (3,)))


def picture() -> gym.Env:
    return World(IMAGE, spaces.Discrete(2))


def parts() -> gym.Env:
    return World(PARTS, REACH)


@pytest.mark.parametrize("scaled", [False, True])
def test_images_are_turned_as_in_pretraining(scaled: bool) -> None:
    venv: Any = DummyVecEnv([picture])
    if scaled:
        venv = VecNormalize(venv, norm_obs=False)
    kwargs = {"features_extractor_kwargs": {"features_dim": 4}}
    given = load(PPO("CnnPolicy", venv, n_steps=8, batch_size=8, n_epochs=1, policy_kwargs=kwargs, device="cpu"))
    before = weights(given)
    asked = recipe(steps=300, n_envs=1, warm_start={"tie": 0.5}, algorithm={"n_steps": 16, "n_epochs": 1})
    report = finetune(given, Task(picture), asked, source=Task(picture)).report
    assert report.steps_charged <= 300
    assert same(before, weights(given))


@pytest.mark.parametrize("algorithm", [PPO, SAC])
def test_dictionaries_are_scaled_and_tied_key_by_key(algorithm: type, tmp_path: Any) -> None:
    short = {"n_steps": 8, "batch_size": 8} if algorithm is PPO else {"batch_size": 8, "learning_starts": 1}
    model = algorithm(
        "MultiInputPolicy", VecNormalize(DummyVecEnv([parts])), policy_kwargs={"net_arch": [4]}, device="cpu", **short
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.learn(16)
    given = load(model)
    run = finetune(given, Task(parts), recipe(n_envs=2, methods=(KLToPrior(weight=0.5),)), out=tmp_path / "run")
    assert set(run.agent.normalizer.obs_mean) == {"near", "far"}
    if run.report.kept == "tuned":
        assert run.agent.normalizer.obs_count["near"] > given.normalizer.obs_count["near"]
    assert load(tmp_path / "run").normalizer.obs_mean.keys() == run.agent.normalizer.obs_mean.keys()


class Dying(Dot):
    """Raises in training, and only there."""

    def step(self, action: Any) -> Any:
        if self.trains and self.total == 20:
            raise ZeroDivisionError("wheel came off")
        return super().step(action)


@pytest.mark.nightly
def test_processes_of_their_own_train_and_their_failure_is_told(tmp_path: Any) -> None:
    asked = recipe(n_envs=2, vec_env="subproc")
    assert finetune(agent("a2c"), task(), asked).report.steps_charged <= 120
    with pytest.raises(TaskError, match="a process of the environment Dying ended"):
        finetune(agent("a2c"), Task(Dying), asked, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
