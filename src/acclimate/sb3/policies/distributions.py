"""What SB3's distributions over actions, and those of a user's own policy, are as outputs of a network."""

from __future__ import annotations

import copy

import torch
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Normal

from acclimate.errors import SurgeryError
from acclimate.nets.outputs import Bernoulli, Categorical, Drawn, Gaussian, Outputs, divergence


def outputs_of(distribution: Distribution, squashed: bool = False) -> Outputs:
    """Return the parameters of a distribution; those of gSDE become its marginal Gaussian.

    One of a kind that SB3 has not stays what it is. A policy uses one object again and again, so it is copied.
    """
    # Of several choices that are masked sb3-contrib holds a list under another name.
    inner = getattr(distribution, "distributions", None) or getattr(distribution, "distribution", None)
    if isinstance(inner, Normal):
        return Gaussian(inner.mean, inner.stddev.log(), squashed)
    if isinstance(inner, TorchCategorical):
        return Categorical(inner.logits)
    if isinstance(inner, TorchBernoulli):
        return Bernoulli(inner.logits)
    if isinstance(inner, list) and all(isinstance(choice, TorchCategorical) for choice in inner):
        logits = [choice.logits for choice in inner]
        return Categorical(torch.cat(logits, -1), tuple(part.shape[-1] for part in logits))
    return Drawn(inner, copy.copy(distribution).get_actions)


@torch.no_grad()
def incomparable(model: BaseAlgorithm) -> str | None:
    """Return why a model's policy cannot be compared with what it was; None if it can."""
    policy = model.policy
    if not isinstance(policy, ActorCriticPolicy) or isinstance(policy, RecurrentActorCriticPolicy):
        return None  # of these only SB3's own distributions come here
    observation, _ = policy.obs_to_tensor(model.observation_space.sample())
    outputs = outputs_of(policy.get_distribution(observation))
    if not isinstance(outputs, Drawn):
        return None
    try:
        divergence(outputs, outputs)
    except SurgeryError as error:
        return str(error)
    return None
