"""What a finished run leaves: a folder that stock tools read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.monitor import load_results
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from acclimate.agents.agent import Agent
from acclimate.agents.load import load
from acclimate.methods.channel import ChannelScale
from acclimate.planning.recipe import Recipe
from acclimate.reports.report import read
from acclimate.runs.finetune import finetune
from acclimate.tasks.spaces import SpaceWarning
from tests.world import Dot, agent, linear, observations, recipe, task

STOCK = {"ppo": PPO, "sac": SAC, "dqn": DQN}


@pytest.mark.parametrize("name", ["ppo", "sac", "dqn"])
def test_stock_sb3_reads_it_acts_the_same_and_trains_on(name: str, tmp_path: Path) -> None:
    normalize = name != "dqn"
    given = linear(0.0, 0.6, normalize=True) if name == "ppo" else agent(name, normalize=normalize)
    asked = recipe(
        steps=1_500 if name == "ppo" else 200,
        methods=(ChannelScale(train_base=True),),
        algorithm={"learning_rate": 0.02, "gamma": 0.8},
    )
    run = finetune(given, task(name), asked, out=tmp_path / "run")
    assert name != "ppo" or run.report.kept == "tuned"
    folder = run.folder
    expected = "recipe.yaml agent.zip bundle report.json report.md report.html curve.png monitor.csv evaluations.npz"
    present = {path.name for path in folder.iterdir()}
    assert {*expected.split(), "environment.json", "checkpoint"} <= present
    assert ("vecnormalize.pkl" in present) == normalize
    assert not [path for path in present if path.startswith(".")]

    venv = DummyVecEnv([lambda: Dot(discrete=name == "dqn")])
    env = VecNormalize.load(str(folder / "vecnormalize.pkl"), venv) if normalize else venv
    seen = observations()
    stock = STOCK[name].load(folder / "agent.zip", env=env, device="cpu")
    acts = stock.predict(env.normalize_obs(seen) if normalize else seen, deterministic=True)[0]
    assert np.array_equal(acts, run.agent.predict(seen, deterministic=True)[0])
    assert np.array_equal(acts, load(folder).predict(seen, deterministic=True)[0]), "the bundle acts in another way"
    assert np.array_equal(acts, load(folder / "agent.zip").predict(seen, deterministic=True)[0])
    before = stock.num_timesteps
    stock.learn(1_000, reset_num_timesteps=False)
    assert stock.num_timesteps >= before + 1_000

    assert Recipe.load(folder / "recipe.yaml") == asked
    assert read(folder).to_json() == run.report.to_json()
    report = json.loads((folder / "report.json").read_text())
    assert report["target"]["after"]["episodes"] == 4
    table = load_results(str(folder))
    # Episodes are told when they end; the probe's are not among them.
    assert 0 <= report["steps_charged"] - 8 - table["l"].sum() < 64
    measured = np.load(folder / "evaluations.npz")
    assert measured["timesteps"].tolist() == [point.steps for point in run.report.curve]
    assert measured["results"].shape == (len(run.report.curve), 3)
    assert measured["timesteps"][-1] == report["steps_charged"]
    events = EventAccumulator(str(folder)).Reload()
    logged = events.Scalars("eval/mean_reward")
    assert logged[-1].value == pytest.approx(measured["results"][-1].mean(), rel=1e-5)
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_tuned_zip_has_the_spaces_of_its_task(tmp_path: Path) -> None:
    """Old agents know other bounds than today's environments have; SB3 would refuse the two together."""
    given = agent("ppo")
    narrow = gym.spaces.Box(-1e3, 1e3, given.observation_space.shape, np.float32)
    old = Agent(replace(given.blueprint, observation_space=narrow), given.model, given.normalizer, given.origin).copy()
    world = task()
    with pytest.warns(SpaceWarning):
        run = finetune(old, world, recipe(), out=tmp_path / "run")
    stock = PPO.load(tmp_path / "run" / "agent.zip", env=world.vector(1, seed=0), device="cpu")
    assert stock.observation_space == world.observation_space == run.agent.observation_space
