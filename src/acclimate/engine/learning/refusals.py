"""The questions by which an engine finds out whether it can run an agent, each asked by more than one of them.

Each is answered with the reason against it in words, or None. An answer is never an empty text, so that answers can be
joined by `or`, and a question is asked only where those before it had no objection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
)
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    MultiInputActorCriticPolicy,
)
from torch.optim import Optimizer

from acclimate.tuning.tuner import Tuner

ACTOR_CRITICS = (ActorCriticPolicy, ActorCriticCnnPolicy, MultiInputActorCriticPolicy)
"""The policies of PPO and A2C that have parts we know, whatever reads the observations."""
PRECISIONS = (torch.float32, torch.float64)
"""The kinds of numbers that arrays are computed in."""
_DISTRIBUTIONS = (
    DiagGaussianDistribution,
    CategoricalDistribution,
    MultiCategoricalDistribution,
    BernoulliDistribution,
)


def algorithm(stock: type, known: Collection[type]) -> str | None:
    """Refuse an algorithm that is none of those known; a subclass of one may do something else."""
    return None if stock in known else f"the algorithm {stock.__name__}"


def buffer(held: Any, *known: type) -> str | None:
    """Refuse a buffer that is none of those known: its arrays are read directly."""
    return None if type(held) in known else f"the buffer {type(held).__name__}"


def policy(found: Any, *known: type) -> str | None:
    """Refuse a policy that is none of those known: a subclass may have a forward pass of its own."""
    return None if type(found) in known else f"the policy {type(found).__name__}"


def noise_of_states(model: Any) -> str | None:
    """Refuse gSDE, whose noise is drawn again inside of a rollout and is part of the update."""
    return "exploration that depends on the state (gSDE)" if model.use_sde else None


def elsewhere(policy: Any) -> str | None:
    """Refuse parameters that no array of numpy can share."""
    return "parameters that are not on the CPU" if policy.device.type != "cpu" else None


def precision(policy: Any) -> str | None:
    """Refuse parameters of another precision than arrays are computed in."""
    strange = {parameter.dtype for parameter in policy.parameters()} - set(PRECISIONS)
    return (
        f"parameters in {' and '.join(sorted(str(one).removeprefix('torch.') for one in strange))}" if strange else None
    )


def no_vector(policy: Any) -> str | None:
    """Refuse observations that are not read as one row of numbers each."""
    space = policy.observation_space
    image = len(space.shape or ()) == 3 and space.dtype == np.uint8
    plain = isinstance(space, spaces.Box) and not (policy.normalize_images and image)
    return None if plain else "observations that are no vector of numbers"


def distribution(policy: Any) -> str | None:
    """Refuse actions that are drawn in a way that is written down nowhere here."""
    found, kind = type(policy.action_dist), policy.action_space.dtype
    if found is DiagGaussianDistribution and kind not in (np.float32, np.float64):
        return f"actions that a buffer holds as {kind}, not as they are drawn"
    return None if found in _DISTRIBUTIONS else f"actions from a {found.__name__}"


def shared_extractor(model: Any, stock: type) -> str | None:
    """Refuse weights that belong to actor and critics at once: SB3 trains them by one of the two only."""
    if stock is DQN or not getattr(model.policy, "share_features_extractor", False):
        return None
    weights = any(True for _ in model.policy.actor.features_extractor.parameters())
    return "a features extractor with weights that actor and critics share" if weights else None


def deciding(tuner: Tuner) -> str | None:
    """Refuse a method that acts in the agent's place."""
    return "a method that decides what is done" if any(True for _ in tuner.composition.each("act")) else None


def stepping(optimizers: Iterable[Optimizer], steps: Callable[[Optimizer], type[Any] | str]) -> str | None:
    """Refuse optimizers whose steps are not known.

    Args:
        optimizers: all that are stepped.
        steps: returns what takes an optimizer's steps, or why nothing does.
    """
    return next((why for why in map(steps, optimizers) if isinstance(why, str)), None)


def stepped(model: Any, tuner: Tuner) -> list[Optimizer]:
    """Return the optimizers of all updates; a temperature that is learned has an optimizer of its own."""
    held = [groups.optimizer for groups in tuner.adopted]
    own = getattr(model, "ent_coef_optimizer", None)
    return held if own is None else [*held, own]
