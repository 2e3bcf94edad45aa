"""The action that a policy takes when it does not draw, by tensors alone.

SB3 asks a distribution for its mode, which looks at values and cannot be traced. Here the scores that the network puts
out (means, logits, values of actions) and the choice by them stand apart, so that a choice can be judged as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from sb3_contrib.ars.policies import ARSPolicy
from sb3_contrib.common.maskable import distributions as maskable
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.crossq.policies import CrossQPolicy
from sb3_contrib.qrdqn.policies import QRDQNPolicy
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3.common import distributions
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor

from acclimate.errors import MisfitError
from acclimate.nets.outputs import FORBIDDEN

State = tuple[Tensor, Tensor]
"""Hidden and cell state of the actor's LSTM, (layers, batch, units) each."""

_SEVERAL = (distributions.MultiCategoricalDistribution, maskable.MaskableMultiCategoricalDistribution)
_ONE = (distributions.CategoricalDistribution, maskable.MaskableCategoricalDistribution)


class Choice(Protocol):
    """How scores, (batch, scores), become actions."""

    def pick(self, scores: Tensor) -> Tensor:
        """Return the action of each row, in the policy's own units."""
        ...

    def short(self, scores: Tensor, actions: Tensor) -> Tensor:
        """Return by how much the scores of other actions fall short of the best, (batch,)."""
        ...


@dataclass(frozen=True)
class Numbers:
    """The scores are the actions."""

    squashed: bool
    """Whether tanh brings them to [-1, 1]."""

    def pick(self, scores: Tensor) -> Tensor:
        """Return the numbers, (batch, axes)."""
        return scores.tanh() if self.squashed else scores

    def short(self, scores: Tensor, actions: Tensor) -> Tensor:
        """Return infinity: of numbers none is as good as another."""
        return torch.full((len(scores),), float("inf"))


@dataclass(frozen=True)
class Options:
    """The best of several options, once or several times."""

    sizes: tuple[int, ...]
    several: bool
    """Whether an action has an axis for its choices."""

    def pick(self, scores: Tensor) -> Tensor:
        """Return the numbers of the options, (batch,) or (batch, choices)."""
        if not self.several:
            return scores.argmax(dim=1)
        return torch.stack([part.argmax(dim=1) for part in scores.split(list(self.sizes), dim=1)], dim=1)

    def short(self, scores: Tensor, actions: Tensor) -> Tensor:
        """Return the largest lack among the choices."""
        chosen = actions.long().reshape(len(scores), -1)
        parts = zip(scores.split(list(self.sizes), dim=1), chosen.split(1, dim=1), strict=True)
        return torch.cat([part.amax(1, keepdim=True) - part.gather(1, at) for part, at in parts], 1).amax(1)


@dataclass(frozen=True)
class Coins:
    """Yes or no to each of several questions."""

    def pick(self, scores: Tensor) -> Tensor:
        """Return 1 where the logit is above 0, (batch, questions)."""
        return scores > 0

    def short(self, scores: Tensor, actions: Tensor) -> Tensor:
        """Return the largest logit that was answered the other way."""
        other = self.pick(scores) != actions.bool().reshape(scores.shape)
        return (scores.abs() * other).amax(1)


def choice_of(policy: BasePolicy) -> Choice:
    """Return how a policy chooses.

    Raises:
        MisfitError: It is of a kind that is not known here, or draws from a distribution that SB3 has not.
    """
    if isinstance(policy, (ActorCriticPolicy, MaskableActorCriticPolicy)):
        return _of_distribution(policy.action_dist)
    if isinstance(policy, (SACPolicy, TQCPolicy, CrossQPolicy)):
        return Numbers(squashed=True)
    if isinstance(policy, TD3Policy):
        return Numbers(squashed=False)  # its last layer is a tanh
    if isinstance(policy, (DQNPolicy, QRDQNPolicy)):
        return Options((int(policy.action_space.n),), several=False)  # type: ignore[attr-defined]
    if isinstance(policy, ARSPolicy):
        options = getattr(policy.action_space, "n", None)
        return Numbers(squashed=False) if options is None else Options((int(options),), several=False)
    raise MisfitError(
        f"a policy of the class {type(policy).__name__} cannot be written as a graph: only policies of SB3's and "
        "sb3-contrib's kinds can; save the zip or the bundle"
    )


def _of_distribution(found: Any) -> Choice:
    if isinstance(found, distributions.StateDependentNoiseDistribution):
        return Numbers(squashed=found.bijector is not None)
    if isinstance(found, distributions.DiagGaussianDistribution):
        return Numbers(squashed=isinstance(found, distributions.SquashedDiagGaussianDistribution))
    if isinstance(found, _ONE):
        return Options((int(found.action_dim),), several=False)
    if isinstance(found, _SEVERAL):
        return Options(tuple(map(int, found.action_dims)), several=True)
    if isinstance(found, distributions.BernoulliDistribution):
        return Coins()
    raise MisfitError(
        f"a policy that draws from {type(found).__name__} cannot be written as a graph: its likeliest action is not "
        "known here; save the zip or the bundle"
    )


def scores(policy: Any, obs: Any, masks: Tensor | None = None) -> Tensor:
    """Return what a policy without a memory chooses by, (batch, scores).

    Args:
        policy: one that `choice_of` knows.
        obs: as `obs_to_tensor` makes it.
        masks: which options are allowed, (batch, scores) of bool.
    """
    if isinstance(policy, (ActorCriticPolicy, MaskableActorCriticPolicy)):
        features = BasePolicy.extract_features(policy, obs, policy.pi_features_extractor)
        found = policy.action_net(policy.mlp_extractor.forward_actor(features))
        return found if masks is None else found.where(masks, FORBIDDEN)
    if isinstance(policy, (SACPolicy, TQCPolicy, CrossQPolicy)):
        return policy.actor.get_action_dist_params(obs)[0]
    if isinstance(policy, TD3Policy):
        return policy.actor(obs)
    if isinstance(policy, DQNPolicy):
        return policy.q_net(obs)
    if isinstance(policy, QRDQNPolicy):
        return policy.quantile_net(obs).mean(dim=1)
    return policy.action_net(policy.extract_features(obs, policy.features_extractor))


def remembering_scores(policy: Any, obs: Any, state: State, starts: Tensor) -> tuple[Tensor, State]:
    """Return what a recurrent policy chooses by, (batch, scores), and its next state.

    Args:
        policy: recurrent.
        obs: as `obs_to_tensor` makes it.
        state: of before.
        starts: (batch,) of bool, whether an episode begins, at which the state is forgotten.
    """
    features = BasePolicy.extract_features(policy, obs, policy.pi_features_extractor)
    kept = (~starts).to(features.dtype).reshape(1, -1, 1)
    out, (hidden, cell) = policy.lstm_actor(features[None], (kept * state[0], kept * state[1]))
    return policy.action_net(policy.mlp_extractor.forward_actor(out[0])), (hidden, cell)
