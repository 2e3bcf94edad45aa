"""Which off-policy agents are trained through their own modules, where they are no perceptrons throughout."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3 import DDPG, DQN, SAC, TD3
from stable_baselines3.dqn import policies as of_dqn
from stable_baselines3.sac import policies as of_sac
from stable_baselines3.td3 import policies as of_td3

from acclimate.engine.learning import refusals
from acclimate.engine.modules.actors import AutogradSAC, AutogradTD3
from acclimate.engine.modules.dqn import AutogradDQN
from acclimate.engine.modules.update import AutogradUpdate
from acclimate.engine.off_policy.perceptrons import refusal
from acclimate.tuning.tuner import Tuner

_UPDATES: dict[type, type[Any]] = {SAC: AutogradSAC, TD3: AutogradTD3, DDPG: AutogradTD3, DQN: AutogradDQN}
_POLICIES: dict[type, tuple[type, ...]] = {
    SAC: (of_sac.SACPolicy, of_sac.CnnPolicy),
    TD3: (of_td3.TD3Policy, of_td3.CnnPolicy),
    DDPG: (of_td3.TD3Policy, of_td3.CnnPolicy),
    DQN: (of_dqn.DQNPolicy, of_dqn.CnnPolicy),
}


def update_of(model: Any, stock: type, tuner: Tuner) -> AutogradUpdate:
    """Return what updates a model for which `cannot` says nothing."""
    return _UPDATES[stock](model, tuner)


def cannot(model: Any, stock: type, tuner: Tuner) -> str | None:
    """Return why an off-policy agent with these methods is not trained here, None if it is.

    Args:
        model: the agent's model.
        stock: its class, without what the seam has made of it.
        tuner: the methods.
    """
    why = refusal(model, stock, tuner) or refusals.policy(model.policy, *_POLICIES[stock])
    if why is not None:
        return why
    if len({p.dtype for p in model.policy.parameters()} | {torch.float32}) > 2:
        return "parameters of several kinds"
    return refusals.shared_extractor(model, stock)
