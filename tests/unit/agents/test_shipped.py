from __future__ import annotations

import json

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from acclimate.agents import shipped
from acclimate.errors import SourceError

SEED = 30_000
"""No episode of the index is seeded from here on."""


@pytest.fixture(scope="module")
def agent() -> tuple[PPO, VecNormalize]:
    zipped = shipped.path()
    venv = DummyVecEnv([lambda: gym.make("LunarLander-v3")])
    return PPO.load(zipped, device="cpu"), VecNormalize.load(zipped.parent / "vecnormalize.pkl", venv)


def landing(model: PPO, normalizer: VecNormalize | None, seed: int) -> float:
    env = gym.make("LunarLander-v3")
    observation, _ = env.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        if normalizer:
            observation = normalizer.normalize_obs(observation)
        action, _ = model.predict(observation, deterministic=True)
        observation, reward, terminated, truncated, _ = env.step(action)
        total, over = total + reward, terminated or truncated
    env.close()
    return total


def test_the_shipped_agent_lands_in_stock_sb3(agent):
    model, normalizer = agent
    assert np.mean([landing(model, normalizer, SEED + i) for i in range(8)]) >= 200


def test_it_needs_its_normalizer(agent):
    model, normalizer = agent
    carried, lost = (np.mean([landing(model, kept, SEED + i) for i in range(4)]) for kept in (normalizer, None))
    assert lost < carried - 100


def test_the_index_says_how_it_was_made():
    zipped = shipped.path()
    entry = json.loads((zipped.parent / "index.json").read_text())[zipped.stem]
    assert entry["return"]["mean"] >= 240
    assert entry["return"]["episodes"] == 50
    assert entry["steps"] == PPO.load(zipped, device="cpu").num_timesteps


def test_what_is_shipped_is_small():
    folder = shipped.path().parent
    assert sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) < 500_000


def test_an_unknown_agent_is_named_and_a_known_one_suggested():
    with pytest.raises(SourceError, match=r"`ppo-LunarLander-v2` is shipped.*`ppo-LunarLander-v3`"):
        shipped.path("ppo-LunarLander-v2")
