"""Real agents, written by us, are stock SB3 agents that act as before and train on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import acclimate as ac
from acclimate.agents import inspection
from acclimate.formats import bundle
from acclimate.sb3.vocabulary import ALGORITHMS
from tests import tiny
from tests.contract import stock


@pytest.mark.parametrize("path", tiny.zoo_params())
def test_stock_sb3_opens_what_we_write(path: Path, tmp_path: Path) -> None:
    agent = ac.load(path)
    obs = stock.observations(agent.observation_space)
    expected, _ = agent.predict(obs, deterministic=True)
    written = agent.save(tmp_path / "agent.zip")
    model = ALGORITHMS[agent.algorithm].load(written, device="cpu")
    if agent.normalizer is not None:
        env = DummyVecEnv([lambda: tiny.World(agent.observation_space, agent.action_space)])
        obs = VecNormalize.load(str(tmp_path / "vecnormalize.pkl"), env).normalize_obs(obs)
    np.testing.assert_array_equal(model.predict(obs, deterministic=True)[0], expected, strict=True)
    assert model.num_timesteps == agent.origin.steps
    for name, tensor in agent.model.policy.state_dict().items():
        assert torch.equal(tensor, model.policy.state_dict()[name])


@pytest.mark.parametrize("path", tiny.zoo_params())
def test_a_bundle_is_the_same_agent(path: Path, tmp_path: Path) -> None:
    agent = ac.load(path)
    bundle.save(agent, tmp_path / "bundle")
    again = ac.load(tmp_path)
    obs = stock.observations(agent.observation_space)
    np.testing.assert_array_equal(again.predict(obs, deterministic=True)[0], agent.predict(obs, deterministic=True)[0])
    assert again.blueprint == agent.blueprint
    assert again.origin.unread == agent.origin.unread
    description = inspection.describe(again)
    assert json.loads(json.dumps(description, allow_nan=False)) == description
    assert inspection.render(description).startswith(f"{agent.algorithm} agent")
