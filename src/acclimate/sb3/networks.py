"""The trainable networks of a Stable-Baselines3 model.

Roles: `actor` and `critic` (PPO, A2C, TRPO, SAC, TD3, DDPG, TQC, CrossQ) or `q` (DQN, QR-DQN). Where actor and
critic read the same features extractor and it has weights, these are a network of their own, the `trunk`, so
that a method on the actor does not change the critic by the way. Paths are those of SB3's own modules. The
`log_std` of PPO, A2C and TRPO is part of the actor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
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
from acclimate.nets.outputs import ActionValues, Outputs, Point, Values
from acclimate.sb3.distributions import outputs_of
from acclimate.sb3.intake import SB3Intake

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
    if isinstance(policy, ActorCriticPolicy) and not isinstance(policy, RecurrentActorCriticPolicy):
        return _actor_critic(policy)
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
        "fine-tune PPO, A2C, TRPO, SAC, TD3, DDPG, DQN, TQC, QR-DQN or CrossQ with an MLP or CNN policy"
    )


def _actor_critic(policy: ActorCriticPolicy) -> tuple[Net, ...]:
    """Take apart a policy whose actor and critic are one module."""
    shared = policy.share_features_extractor
    actor = ["mlp_extractor.policy_net", "action_net", "log_std"]
    critic = ["mlp_extractor.value_net", "value_net"]
    if not shared:
        actor.insert(0, _EXTRACTOR)
        critic.insert(0, "vf_features_extractor")
    acting, orthogonal = Acting(), policy.ortho_init
    nets = [
        Net(
            "actor",
            policy,
            _distribution,
            tuple(actor),
            heads=("action_net",),
            inlets=("mlp_extractor.policy_net",),
            on_policy=True,
            decides=True,
            orthogonal=orthogonal,
            acting=acting,
        ),
        Net(
            "critic",
            policy,
            _state_values,
            tuple(critic),
            heads=("value_net",),
            inlets=("mlp_extractor.value_net",),
            orthogonal=orthogonal,
        ),
    ]
    if shared and _has_weights(policy.features_extractor):
        scope = (_EXTRACTOR,)
        # What the actor reads must be the same in the rollout and in its updates: the trunk is on-policy too.
        above = max(height(net) for net in nets)
        trunk = Net("trunk", policy, _distribution, scope, heads=("",), on_policy=True, above=above, acting=acting)
        nets.append(dataclasses.replace(trunk, orthogonal=orthogonal))
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
