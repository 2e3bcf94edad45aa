"""What a user brings of his own: a world, a features extractor, policies, a distribution, an optimizer, a noise.

The tests copy this file into a folder and work there as its owner would; nothing here knows the library.
"""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import TRPO
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import nn
from torch.distributions import Beta


class World(gym.Env):
    """Stay in the middle of a line."""

    def __init__(self, gain=1.0, discrete=False):
        self.gain, self.discrete = gain, discrete
        self.observation_space = spaces.Box(-5, 5, (2,), np.float32)
        self.action_space = spaces.Discrete(3) if discrete else spaces.Box(-1, 1, (1,), np.float32)

    def _seen(self):
        return np.array([self.x, self.time / 10], np.float32).clip(-5, 5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.time = float(self.np_random.uniform(-2, 2)), 0
        return self._seen(), {}

    def step(self, action):
        self.x += self.gain * (int(action) - 1 if self.discrete else float(action[0]))
        self.time += 1
        return self._seen(), -abs(self.x), False, self.time >= 10, {}


gym.register("Middle-v0", entry_point="mine:World")


class Features(BaseFeaturesExtractor):
    def __init__(self, space, width=6):
        super().__init__(space, width)
        self.net = nn.Sequential(nn.Linear(2, width), nn.Tanh())

    def forward(self, observations):
        return self.net(observations)


class Wide(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.latent_dim_pi = self.latent_dim_vf = 8
        self.pi = nn.Sequential(nn.Linear(size, 8), nn.GELU())
        self.vf = nn.Sequential(nn.Linear(size, 8), nn.GELU())

    def forward(self, features):
        return self.pi(features), self.vf(features)

    def forward_actor(self, features):
        return self.pi(features)

    def forward_critic(self, features):
        return self.vf(features)


class WidePolicy(ActorCriticPolicy):
    def _build_mlp_extractor(self):
        self.mlp_extractor = Wide(self.features_dim)


class BetaDistribution(Distribution):
    """Actions in [-1, 1] that never leave it."""

    def proba_distribution_net(self, size):
        return nn.Linear(size, 2)

    def proba_distribution(self, numbers):
        first, second = (1 + nn.functional.softplus(numbers)).chunk(2, dim=-1)
        self.distribution = Beta(first, second)
        return self

    def log_prob(self, actions):
        return self.distribution.log_prob(((actions + 1) / 2).clamp(1e-4, 1 - 1e-4)).sum(-1) - np.log(2)

    def entropy(self):
        return self.distribution.entropy().sum(-1)

    def sample(self):
        return 2 * self.distribution.rsample() - 1

    def mode(self):
        return 2 * self.distribution.mean - 1

    def actions_from_params(self, numbers, deterministic=False):
        return self.proba_distribution(numbers).get_actions(deterministic)

    def log_prob_from_params(self, numbers):
        actions = self.actions_from_params(numbers)
        return actions, self.log_prob(actions)


class BetaPolicy(ActorCriticPolicy):
    kind = BetaDistribution

    def _build(self, lr_schedule):
        self.action_dist = DiagGaussianDistribution(1)
        super()._build(lr_schedule)
        self.action_dist = self.kind()
        self.action_net = self.action_dist.proba_distribution_net(self.mlp_extractor.latent_dim_pi)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def _get_action_dist_from_latent(self, latent):
        return self.action_dist.proba_distribution(self.action_net(latent))


class OddDistribution(BetaDistribution):
    """Of a kind that torch knows no divergence of: a mixture of one."""

    def proba_distribution(self, numbers):
        super().proba_distribution(numbers)
        inner = self.distribution
        self.distribution = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(torch.ones(*inner.concentration0.shape, 1)),
            Beta(inner.concentration1[..., None], inner.concentration0[..., None]),
        )
        return self

    def entropy(self):
        return None

    def sample(self):
        return 2 * self.distribution.sample() - 1


class OddPolicy(BetaPolicy):
    kind = OddDistribution


class MyAdam(torch.optim.Adam):
    pass


class MySAC(SACPolicy):
    pass


class MyTD3(TD3Policy):
    pass


class MyDQN(DQNPolicy):
    pass


class Square(ActionNoise):
    def __init__(self, size=0.2):
        super().__init__()
        self.size = size

    def __call__(self):
        self.size = -self.size
        return np.full(1, self.size)


SMALL = {"net_arch": [8]}
OFF = {"learning_starts": 20, "batch_size": 8, "buffer_size": 400}
ON = {"n_steps": 32, "batch_size": 32}
AGENTS = {
    "features": lambda: PPO("MlpPolicy", world(), policy_kwargs={**SMALL, "features_extractor_class": Features}, **ON),
    "policy": lambda: PPO(WidePolicy, world(discrete=True), **ON),
    "distribution": lambda: PPO(BetaPolicy, world(), policy_kwargs=SMALL, **ON),
    "odd distribution": lambda: PPO(OddPolicy, world(), policy_kwargs=SMALL, **ON),
    "optimizer": lambda: PPO("MlpPolicy", world(), policy_kwargs={**SMALL, "optimizer_class": MyAdam}, **ON),
    "a2c policy": lambda: A2C(WidePolicy, world()),
    "trpo policy": lambda: TRPO(WidePolicy, world(), **ON),
    "sac policy": lambda: SAC(MySAC, world(), policy_kwargs=SMALL, **OFF),
    "sac features": lambda: SAC(
        "MlpPolicy", world(), policy_kwargs={**SMALL, "features_extractor_class": Features}, **OFF
    ),
    "td3 policy and noise": lambda: TD3(MyTD3, world(), policy_kwargs=SMALL, action_noise=Square(), **OFF),
    "dqn policy": lambda: DQN(MyDQN, world(discrete=True), policy_kwargs=SMALL, **OFF),
}


def world(**kwargs):
    return gym.make("Middle-v0", **kwargs)
