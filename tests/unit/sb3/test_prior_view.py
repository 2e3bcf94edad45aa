"""What the prior sees while statistics move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from acclimate.sb3.normalizer import Normalizer
from acclimate.sb3.prior_view import prior_view
from tests.tiny import World

BOX = spaces.Box(-9.0, 9.0, (2,))


def prior(space: spaces.Space = BOX) -> Normalizer:
    return replace(Normalizer.identity(space), epsilon=0.0, clip_obs=5.0)


def test_by_hand() -> None:
    """Raw 7 and -1 lie at (7 - 1) / 2 and (-1 - 3) / 4 now; pretraining read (7 - 4) / 3 and (-1 + 1) / 0.5."""
    of_file = replace(prior(), obs_mean=np.array([4.0, -1.0]), obs_var=np.array([9.0, 0.25]))
    venv = of_file.vec_normalize(DummyVecEnv([lambda: World(BOX, BOX)]), training=True, norm_reward=False)
    venv.obs_rms.mean, venv.obs_rms.var = np.array([1.0, 3.0]), np.array([4.0, 16.0])
    seen = prior_view(of_file, venv)
    assert seen(torch.tensor([[3.0, -1.0]])).tolist() == [[1.0, 0.0]]
    assert seen(torch.tensor([[30.0, -1.0]])).tolist() == [[5.0, 0.0]], "clipped as pretraining did"
    raw = np.array([[2.5, 0.75]])
    now = torch.as_tensor(venv.normalize_obs(raw), dtype=torch.float32)
    assert seen(now).numpy() == pytest.approx(of_file.normalize_obs(raw), abs=1e-6)
    venv.obs_rms.mean = np.array([2.0, 3.0])
    assert seen(torch.tensor([[2.5, -1.0]])).tolist() == [[1.0, 0.0]], "it follows the statistics"


def test_key_by_key() -> None:
    space = spaces.Dict(a=BOX, b=spaces.Discrete(2))
    of_file = replace(
        prior(spaces.Dict(a=BOX)), obs_mean={"a": np.array([4.0, 0.0])}, obs_var={"a": np.array([9.0, 1.0])}
    )
    venv = of_file.vec_normalize(DummyVecEnv([lambda: World(space, BOX)]), training=True, norm_reward=False)
    venv.obs_rms["a"].mean = np.array([1.0, 0.0])
    seen = prior_view(of_file, venv)({"a": torch.tensor([[2.0, 0.5]]), "b": torch.tensor([[1.0]])})
    assert {key: value.tolist() for key, value in seen.items()} == {"a": [[1.0, 0.5]], "b": [[1.0]]}


def test_nothing_to_turn() -> None:
    assert prior_view(None, None) is None
    raw = replace(prior(), norm_obs=False)
    venv = raw.vec_normalize(DummyVecEnv([lambda: World(BOX, BOX)]), training=True, norm_reward=True)
    assert prior_view(raw, venv) is None
