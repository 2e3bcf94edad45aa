"""Tiny agents of every algorithm, and the real ones where they are there."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from acclimate.sb3.vocabulary import ALGORITHMS

ZOO = Path(os.environ.get("ACCLIMATE_ZOO", Path(__file__).parents[2] / "shared" / "zoo"))
ZIPS = sorted(ZOO.rglob("*.zip"))

needs_zoo = pytest.mark.skipif(not ZIPS, reason=f"no pretrained agents at {ZOO} (set ACCLIMATE_ZOO)")


def zoo_params() -> list[Any]:
    """Return a parameter for each zip of the zoo, or one that is skipped and says why."""
    if ZIPS:
        return [pytest.param(path, id=str(path.relative_to(ZOO)), marks=pytest.mark.zoo) for path in ZIPS]
    return [pytest.param(None, marks=[pytest.mark.zoo, needs_zoo.mark], id="no-zoo")]


class World(gym.Env):
    """A few random numbers; what is done in it changes nothing."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self.observation_space, self.action_space = observation_space, action_space
        self.left = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 5
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        return self.observation_space.sample(), 1.0, False, self.left == 0, {}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        return -np.linalg.norm(np.asarray(achieved) - np.asarray(desired), axis=-1)

    def action_masks(self) -> np.ndarray:
        return np.ones(self.action_space.n, dtype=bool)


BOX = spaces.Box(np.array([-1.0, -np.inf, -2.5], np.float32), np.array([1.0, np.inf, 2.5], np.float32))
REACH = spaces.Box(np.array([-1.0, -0.5], np.float32), np.array([1.0, 0.5], np.float32))
CHOICE = spaces.Discrete(3)
IMAGE = spaces.Box(0, 255, (36, 36, 3), np.uint8)
GOAL = spaces.Dict(
    observation=spaces.Box(-1, 1, (3,)),
    achieved_goal=spaces.Box(-1, 1, (2,)),
    desired_goal=spaces.Box(-1, 1, (2,)),
)


def _kwargs(**policy_kwargs: Any) -> dict[str, Any]:
    return {"policy_kwargs": policy_kwargs}


_SMALL = _kwargs(net_arch=[8, 8])
_SMALL_CNN = _kwargs(features_extractor_kwargs={"features_dim": 8})
_SMALL_LSTM = _kwargs(net_arch=[8], lstm_hidden_size=6)
_SMALL_QUANTILES = _kwargs(net_arch=[8, 8], n_quantiles=5)
_ON = {"n_steps": 8}
_ON_BATCH = {**_ON, "batch_size": 4}
_OFF = {"learning_starts": 4, "batch_size": 4, "buffer_size": 50}
_HINDSIGHT = {"learning_starts": 12, "replay_buffer_class": HerReplayBuffer}

# name: (algorithm, policy, observation space, action space, arguments)
MODELS: dict[str, tuple[str, str, spaces.Space, spaces.Space, dict[str, Any]]] = {
    "ppo": ("ppo", "MlpPolicy", BOX, REACH, {**_ON_BATCH, **_SMALL, "n_epochs": 2}),
    "ppo-separate": (
        "ppo",
        "MlpPolicy",
        BOX,
        CHOICE,
        {**_ON_BATCH, **_kwargs(net_arch={"pi": [5], "vf": [7]})},
    ),
    "ppo-gsde": ("ppo", "MlpPolicy", BOX, REACH, {**_ON_BATCH, **_SMALL, "use_sde": True}),
    "ppo-cnn": (
        "ppo",
        "CnnPolicy",
        IMAGE,
        CHOICE,
        {"n_steps": 4, "batch_size": 2, "n_epochs": 1, **_SMALL_CNN},
    ),
    "ppo-multi": (
        "ppo",
        "MlpPolicy",
        spaces.MultiDiscrete([3, 4]),
        spaces.MultiBinary(3),
        {**_ON_BATCH, **_SMALL},
    ),
    "a2c": ("a2c", "MlpPolicy", spaces.Discrete(4), spaces.MultiDiscrete([2, 3]), {**_ON, **_SMALL}),
    "a2c-adam": ("a2c", "MlpPolicy", BOX, CHOICE, {**_ON, **_SMALL, "use_rms_prop": False}),
    "trpo": ("trpo", "MlpPolicy", BOX, REACH, {**_ON_BATCH, **_SMALL}),
    "maskable_ppo": ("maskable_ppo", "MlpPolicy", BOX, CHOICE, {**_ON_BATCH, **_SMALL}),
    "recurrent_ppo": (
        "recurrent_ppo",
        "MlpLstmPolicy",
        BOX,
        REACH,
        {**_ON_BATCH, **_SMALL_LSTM, "n_epochs": 1},
    ),
    "dqn": ("dqn", "MlpPolicy", BOX, CHOICE, {**_OFF, **_SMALL}),
    "qrdqn": ("qrdqn", "MlpPolicy", BOX, CHOICE, {**_OFF, **_SMALL_QUANTILES}),
    "sac": ("sac", "MlpPolicy", BOX, REACH, {**_OFF, **_SMALL}),
    "sac-gsde": ("sac", "MlpPolicy", BOX, REACH, {**_OFF, **_SMALL, "use_sde": True, "ent_coef": 0.1}),
    "her": ("sac", "MultiInputPolicy", GOAL, REACH, {**_OFF, **_SMALL, **_HINDSIGHT}),
    "td3": ("td3", "MlpPolicy", BOX, REACH, {**_OFF, **_SMALL}),
    "ddpg": ("ddpg", "MlpPolicy", BOX, REACH, {**_OFF, **_SMALL}),
    "tqc": ("tqc", "MlpPolicy", BOX, REACH, {**_OFF, **_SMALL_QUANTILES}),
    "crossq": ("crossq", "MlpPolicy", BOX, REACH, {**_OFF, **_SMALL}),
    "ars": ("ars", "MlpPolicy", BOX, REACH, {**_SMALL, "n_delta": 1}),
    "ars-linear": ("ars", "LinearPolicy", BOX, CHOICE, {"n_delta": 1}),
}


def world(name: str) -> World:
    """Return the environment of a tiny agent."""
    return World(*MODELS[name][2:4])


def model(name: str, *, steps: int = 16, normalize: bool = False, **more: Any) -> BaseAlgorithm:
    """Return a tiny SB3 model, trained for a few steps."""
    algorithm, policy, _, _, arguments = MODELS[name]
    env: Any = DummyVecEnv([lambda: world(name)])
    if normalize:
        env = VecNormalize(env, gamma=0.9)
    arguments = {**arguments, **more}
    arguments["policy_kwargs"] = dict(arguments.get("policy_kwargs", {}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = ALGORITHMS[algorithm](policy, env, device="cpu", seed=0, **arguments)
        if steps:
            made.learn(steps)
    return made


def observations(space: spaces.Space, n: int = 8, seed: int = 0) -> Any:
    """Return a batch of samples of a space."""
    space.seed(seed)
    samples = [space.sample() for _ in range(n)]
    if isinstance(space, spaces.Dict):
        return {key: np.stack([sample[key] for sample in samples]) for key in space.spaces}
    return np.stack(samples)
