"""The trainable networks of a Stable-Baselines3 model.

Roles: `actor` and `critic` (PPO and its recurrent and masked kin, A2C, TRPO, SAC, TD3, DDPG, TQC, CrossQ) or `q`
(DQN, QR-DQN). Where actor and critic read the same features extractor and it has weights, these are a network of
their own, the `trunk`, so that a method on the actor does not change the critic by the way. Paths are those of SB3's
own modules. The `log_std` of PPO, A2C and TRPO is part of the actor, and so is an LSTM that its critic reads too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.crossq.policies import CrossQPolicy
from sb3_contrib.qrdqn.policies import QRDQNPolicy
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor, nn

from acclimate.errors import SurgeryError
from acclimate.nets.depth import height
from acclimate.nets.experience import Batch
from acclimate.nets.layers import layer_paths
from acclimate.nets.net import Acting, Net
from acclimate.nets.outputs import FORBIDDEN, ActionValues, Categorical, Outputs, Point, Values
from acclimate.sb3.policies import recurrent
from acclimate.sb3.policies.distributions import outputs_of
from acclimate.sb3.policies.intake import SB3Intake

Apply = Callable[[nn.Module, Batch], Outputs]

_EXTRACTOR = "features_extractor"


def find(model: BaseAlgorithm) -> tuple[Net, ...]:
    """Return the trainable networks of a model, each with its target twin.

    Raises:
        SurgeryError: if the policy is of a kind whose networks are not known.
    """
    intake = SB3Intake(model)
    return tuple(dataclasses.replace(net, intake=intake) for net in _find(model))


def _find(model: BaseAlgorithm) -> tuple[Net, ...]:
    policy = model.policy
    if recurrent.remembers(policy):
        # The critic has an LSTM of its own, reads what the actor's puts out, or has a linear layer in its place.
        own = [] if policy.shared_lstm else ["critic" if policy.lstm_critic is None else "lstm_critic"]
        return _actor_critic(policy, _recurrent_distribution, _recurrent_values, (["lstm_actor"], own))
    if isinstance(policy, MaskableActorCriticPolicy):
        return _actor_critic(policy, _masked_distribution, _state_values)
    if isinstance(policy, ActorCriticPolicy):
        return _actor_critic(policy, _distribution, _state_values)
    if isinstance(policy, (SACPolicy, TQCPolicy, CrossQPolicy)):
        return _off_policy(policy, _squashed)
    if isinstance(policy, TD3Policy):
        return _off_policy(policy, _deterministic)
    if isinstance(policy, DQNPolicy):
        return (_single(policy.q_net, policy.q_net_target, _action_values, "q_net"),)
    if isinstance(policy, QRDQNPolicy):
        return (_single(policy.quantile_net, policy.quantile_net_target, _mean_action_values, "quantile_net"),)
    raise SurgeryError(
        f"{type(model).__name__} with {type(policy).__name__}: its networks are not known to the methods; "
        "fine-tune PPO, RecurrentPPO, MaskablePPO, A2C, TRPO, SAC, TD3, DDPG, DQN, TQC, QR-DQN or CrossQ with a "
        "policy of theirs"
    )


def _actor_critic(
    policy: Any, distribution: Apply, values: Apply, below: tuple[list[str], list[str]] = ([], [])
) -> tuple[Net, ...]:
    """Take apart a policy whose actor and critic are one module.

    Args:
        policy: of PPO and its kin.
        distribution: runs the actor.
        values: runs the critic.
        below: paths of what lies between features and layers, of the actor and of the critic.
    """
    shared, acting = policy.share_features_extractor, Acting()
    extractors = ([], []) if shared else ([_EXTRACTOR], ["vf_features_extractor"])
    alike: Any = {"orthogonal": policy.ortho_init, "padded": recurrent.remembers(policy)}
    nets = [
        Net(
            "actor",
            policy,
            distribution,
            (*extractors[0], *below[0], "mlp_extractor.policy_net", "action_net", "log_std"),
            heads=("action_net",),
            inlets=("mlp_extractor.policy_net",),
            on_policy=True,
            decides=True,
            acting=acting,
            **alike,
        ),
        Net(
            "critic",
            policy,
            values,
            (*extractors[1], *below[1], "mlp_extractor.value_net", "value_net"),
            heads=("value_net",),
            inlets=("mlp_extractor.value_net",),
            **alike,
        ),
    ]
    if shared and _has_weights(policy.features_extractor):
        alike |= {"heads": ("",), "above": max(height(net) for net in nets)}
        # What the actor reads must be the same in the rollout and in its updates: the trunk is on-policy too.
        nets.append(Net("trunk", policy, distribution, (_EXTRACTOR,), on_policy=True, acting=acting, **alike))
    return tuple(nets)


def _off_policy(policy: Any, apply: Apply) -> tuple[Net, ...]:
    """Take apart a policy with an actor, a critic and their targets."""
    actor, critic = policy.actor, policy.critic
    actor_twin, critic_twin = getattr(policy, "actor_target", None), getattr(policy, "critic_target", None)
    shared = policy.share_features_extractor
    acting = Acting()
    heads = _actor_heads(actor)
    nets = [
        Net(
            "actor",
            actor,
            apply,
            _scope(actor, shared),
            actor_twin,
            heads,
            ("latent_pi" if hasattr(actor, "latent_pi") else "mu",) * len(heads),
            decides=True,
            rates=_rates(critic),
            acting=acting,
        ),
        Net(
            "critic",
            critic,
            _action_state_values,
            _scope(critic, shared),
            critic_twin,
            _critic_heads(critic),
            tuple(f"qf{index}" for index in range(critic.n_critics)),
        ),
    ]
    if shared and _has_weights(critic.features_extractor):
        # The extractor is one object in both; of the targets' own ones the critic's is averaged.
        above = max(height(net) for net in nets)
        nets.append(Net("trunk", critic, _action_state_values, (_EXTRACTOR,), critic_twin, ("",), above=above))
    return tuple(nets)


def _rates(critic: Any) -> Callable[[Batch], Tensor]:
    """Return what asks each critic for the value of actions; of a distribution, its mean."""

    def rates(batch: Batch) -> Tensor:
        values = critic(batch.observations, batch.actions)
        return torch.cat(values, -1) if isinstance(values, tuple) else values.mean(-1)

    return rates


def _single(net: nn.Module, target: nn.Module, apply: Apply, child: str) -> Net:
    heads = tuple(_last_linear(net, child))
    return Net("q", net, apply, twin=target, heads=heads, inlets=(child,) * len(heads), decides=True)


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


def _scope(module: nn.Module, shared: bool) -> tuple[str, ...]:
    if not shared:
        return ("",)
    return tuple(name for name, _ in module.named_children() if name != _EXTRACTOR)


def _actor_heads(actor: nn.Module) -> tuple[str, ...]:
    """Name the layers that the action's parameters come from: `mu`, and `log_std` where it is a layer."""
    return tuple(path for child in ("mu", "log_std") for path in _last_linear(actor, child))


def _critic_heads(critic: Any) -> tuple[str, ...]:
    return tuple(path for index in range(critic.n_critics) for path in _last_linear(critic, f"qf{index}"))


def _last_linear(module: nn.Module, child: str) -> list[str]:
    part = getattr(module, child, None)
    if not isinstance(part, nn.Module):
        return []
    inside = [name for name in layer_paths(part) if isinstance(part.get_submodule(name), nn.Linear)]
    return [f"{child}.{inside[-1]}" if inside[-1] else child]


def _distribution(module: nn.Module, batch: Batch) -> Outputs:
    # Of PPO and A2C only policies with gSDE can squash; what they then sample lies in [-1, 1].
    return outputs_of(module.get_distribution(batch.observations), squashed=module.squash_output)  # type: ignore[operator, arg-type]


def _masked_distribution(module: Any, batch: Batch) -> Outputs:
    found = outputs_of(module.get_distribution(batch.observations, action_masks=batch.masks))
    if batch.masks is None or not isinstance(found, Categorical):
        return found
    allowed = batch.masks.bool().reshape(found.logits.shape)
    return dataclasses.replace(found, logits=found.logits.where(allowed, FORBIDDEN), allowed=allowed)


def _recurrent_distribution(module: Any, batch: Batch) -> Outputs:
    return outputs_of(recurrent.distribution(module, batch), squashed=module.squash_output)


def _recurrent_values(module: Any, batch: Batch) -> Outputs:
    return Values(recurrent.values(module, batch))


def _state_values(module: nn.Module, batch: Batch) -> Outputs:
    return Values(module.predict_values(batch.observations))  # type: ignore[operator]


def _squashed(module: Any, batch: Batch) -> Outputs:
    mean, log_std, rest = module.get_action_dist_params(batch.observations)
    return outputs_of(module.action_dist.proba_distribution(mean, log_std, **rest), squashed=True)


def _deterministic(module: nn.Module, batch: Batch) -> Outputs:
    return Point(module(batch.observations))


def _action_state_values(module: nn.Module, batch: Batch) -> Outputs:
    if batch.actions is None:
        raise SurgeryError("a critic of states and actions has no value without actions; give the batch its actions")
    values = module(batch.observations, batch.actions)
    return Values(torch.cat(values, -1) if isinstance(values, tuple) else values.flatten(1))


def _action_values(module: nn.Module, batch: Batch) -> Outputs:
    return ActionValues(module(batch.observations))


def _mean_action_values(module: nn.Module, batch: Batch) -> Outputs:
    return ActionValues(module(batch.observations).mean(1))
