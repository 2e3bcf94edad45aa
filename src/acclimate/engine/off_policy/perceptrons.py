"""Which off-policy agents are perceptrons throughout, so that they can be trained without autograd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stable_baselines3 import DDPG, DQN, SAC, TD3
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy

from acclimate.engine.arrays.perceptron import dense_layers
from acclimate.engine.arrays.weights import intrusion
from acclimate.engine.learning import refusals
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
    why = refusal(model, stock, tuner) or refusals.policy(model.policy, _POLICIES[stock]) or _policy(model.policy)
    if why is not None:
        return why
    parts = ((what, dense_layers(layers)) for what, layers in _parts(model))
    return next((f"its {what}: {found}" for what, found in parts if isinstance(found, str)), None)


def refusal(model: Any, stock: type, tuner: Tuner) -> str | None:
    """Return why no off-policy engine trains an agent, whatever its networks are, None if one may."""
    return (
        refusals.algorithm(stock, _UPDATES)
        or refusals.buffer(model.replay_buffer, ReplayBuffer)
        or refusals.noise_of_states(model)
        or refusals.elsewhere(model.policy)
        or refusals.deciding(tuner)
        or refusals.stepping(refusals.stepped(model, tuner), flat_step)
    )


def _policy(policy: Any) -> str | None:
    if (why := refusals.no_vector(policy)) is not None:
        return why
    if (why := refusals.precision(policy)) is not None:
        return why
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
