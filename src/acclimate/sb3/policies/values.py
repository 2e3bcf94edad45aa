"""The value that an agent's critic gives to observations, per family of algorithms."""

from __future__ import annotations

from typing import Any

import torch

from acclimate.nets.experience import Batch
from acclimate.sb3.counters import actions_of
from acclimate.sb3.policies import recurrent


def value(algorithm: str, policy: Any, obs: Any) -> torch.Tensor | None:
    """Return the value of each observation, shape (batch,) or (batch, 1); None where there is no critic.

    Args:
        algorithm: Our name of the algorithm.
        policy: SB3's policy.
        obs: Its observations as tensors, scaled.
    """
    match algorithm:
        case "ppo" | "a2c" | "trpo" | "maskable_ppo":
            return policy.predict_values(obs)
        case "recurrent_ppo":
            return recurrent.values(policy, Batch(obs))
        case "dqn":
            return policy.q_net(obs).max(dim=1).values
        case "qrdqn":
            return policy.quantile_net(obs).mean(dim=1).max(dim=1).values
        case "sac" | "td3" | "ddpg" | "crossq":
            return torch.cat(policy.critic(obs, _action(policy, obs)), dim=1).min(dim=1).values
        case "tqc":
            return policy.critic(obs, _action(policy, obs)).mean(dim=(1, 2))
    return None


def _action(policy: Any, obs: Any) -> torch.Tensor:
    return actions_of(policy, obs, deterministic=True)
