"""The agent of the image benchmark: PPO with convolutions of its own, trained by Stable-Baselines3 alone."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from benchmarks.images.game import Rain

AGENT = Path(__file__).resolve().parents[1] / "agents" / "ppo-Rain-s0.zip"
PRETRAINED = 307_200
"""Steps of the pretraining."""
N_ENVS = 8


class Small(BaseFeaturesExtractor):
    """Two convolutions and a layer: pictures of 10 by 10 are too small for SB3's NatureCNN."""

    def __init__(self, observation_space: gym.spaces.Box, features_dim: int = 64) -> None:
        """Build it for pictures with their channels first."""
        super().__init__(observation_space, features_dim)
        channels, height, width = observation_space.shape
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(channels, 16, 3),
            torch.nn.ReLU(),
            torch.nn.Conv2d(16, 16, 3),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Linear(16 * (height - 4) * (width - 4), features_dim),
            torch.nn.ReLU(),
        )

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Return the features, shape (batch, features_dim)."""
        return self.layers(observations)


def pretrained() -> Path:
    """Return the agent's zip, trained first where it is not there."""
    if not AGENT.exists():
        model = PPO(
            "CnnPolicy",
            make_vec_env(Rain, N_ENVS, seed=0),
            learning_rate=5e-4,
            n_steps=128,
            batch_size=256,
            n_epochs=4,
            gamma=0.95,
            ent_coef=0.01,
            policy_kwargs={"features_extractor_class": Small},
            seed=0,
            device="cpu",
        )
        model.learn(PRETRAINED)
        model.save(AGENT)
    return AGENT
