"""Which off-policy agents are perceptrons throughout, so that they can be trained without autograd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import DDPG, DQN, SAC, TD3
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy

from acclimate.engine.arrays.perceptron import dense_layers
from acclimate.engine.arrays.weights import intrusion
from acclimate.engine.learning.steps import flat_step
from acclimate.engine.off_policy.dqn import DQNUpdate
from acclimate.engine.off_policy.sac import SACUpdate
from acclimate.engine.off_policy.td3 import TD3Update
from acclimate.engine.off_policy.update import OffPolicyUpdate
from acclimate.tuning.tuner import Tuner

_POLICIES = {SAC: SACPolicy, TD3: TD3Policy, DDPG: TD3Policy, DQN: DQNPolicy}
_UPDATES: dict[type, type[Any]] = {SAC: SACUpdate, TD3: TD3Update, DDPG: TD3Update, DQN: DQNUpdate}


def update_of(model: Any, stock: type, tuner: Tuner) -> OffPolicyUpdate:
    """Return what updates a model for which `cannot` says nothing."""
    return _UPDATES[stock](model, tuner)


def cannot(model: Any, stock: type, tuner: Tuner) -> str | None:
    """Return why an off-policy agent with these methods is not trained here, None if it is.

    Args:
        model: the agent's model.
        stock: its class, without what the seam has made of it.
        tuner: the methods.
    """
    if (why := refusal(model, stock, tuner)) is not None:
        return why
    if type(model.policy) is not _POLICIES[stock]:
        return f"the policy {type(model.policy).__name__}"
    if (why := _policy(model.policy)) is not None:
        return why
    parts = ((what, dense_layers(layers)) for what, layers in _parts(model))
    return next((f"its {what}: {found}" for what, found in parts if isinstance(found, str)), None)


def refusal(model: Any, stock: type, tuner: Tuner) -> str | None:
    """Return why no off-policy engine trains an agent, whatever its networks are, None if one may."""
    if stock not in _UPDATES:
        return f"the algorithm {stock.__name__}"
    if type(model.replay_buffer) is not ReplayBuffer:
        return f"the buffer {type(model.replay_buffer).__name__}"
    if model.use_sde:
        return "exploration that depends on the state (gSDE)"
    if model.policy.device.type != "cpu":
        return "parameters that are not on the CPU"
    if any(True for _ in tuner.composition.each("act")):
        return "a method that decides what is done"
    steps = [flat_step(groups.optimizer) for groups in tuner.adopted]
    if getattr(model, "ent_coef_optimizer", None) is not None:
        steps.append(flat_step(model.ent_coef_optimizer))
    return next((why for why in steps if isinstance(why, str)), None)


def _policy(policy: Any) -> str | None:
    space = policy.observation_space
    image = len(space.shape or ()) == 3 and space.dtype == np.uint8
    if not isinstance(space, spaces.Box) or (policy.normalize_images and image):
        return "observations that are no vector of numbers"
    if {p.dtype for p in policy.parameters()} - {torch.float32, torch.float64}:
        return "parameters of another kind than single and double precision"
    for module in policy.modules():
        extractor = getattr(module, "features_extractor", None)
        if extractor is not None and type(extractor) is not FlattenExtractor:
            return f"the features extractor {type(extractor).__name__}"
    return intrusion(policy)


def _parts(model: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield each sequence of layers, with a word for what it is part of."""
    if isinstance(model, DQN):
        yield "network", list(model.q_net.q_net)
        yield "target network", list(model.q_net_target.q_net)
        return
    for word, critic in (("critic", model.critic), ("critic's target", model.critic_target)):
        for net in critic.q_networks:
            yield word, list(net)
    if isinstance(model, SAC):
        if len(model.actor.latent_pi):
            yield "actor", list(model.actor.latent_pi)
        yield "actor", [model.actor.mu]
        yield "actor", [model.actor.log_std]
        return
    yield "actor", list(model.actor.mu)
    yield "actor's target", list(model.actor_target.mu)
