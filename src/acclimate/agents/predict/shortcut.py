"""The short way from observations to actions: what SB3's `predict` returns, several times sooner.

Most of the time that `predict` takes on a few observations goes into modules, distributions and switching modes. A
policy of known parts is run as plain layers here, one with other parts by its own `_predict`; what this is not made for
(images, dicts, recurrent states, masks) is left to SB3. A batch gets SB3's actions bit for bit. A single observation
gets them but for rounding, and of discrete actions the same one.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib import QRDQN
from sb3_contrib.tqc import policies as tqc
from stable_baselines3 import DQN
from stable_baselines3.common import distributions
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor, MlpExtractor
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from stable_baselines3.sac import policies as sac
from stable_baselines3.td3 import policies as td3
from torch import nn

from acclimate.agents.predict import choices as choosing
from acclimate.agents.predict.layers import Layers
from acclimate.sb3.counters import actions_of

Array = NDArray[Any]
_PREDICTS = (BaseAlgorithm.predict, DQN.predict, QRDQN.predict)


class Shortcut:
    """Acts as one model's `predict` does."""

    def __init__(self, model: BaseAlgorithm) -> None:
        """Find out how far the model's policy can be taken apart."""
        policy, space = model.policy, model.policy.observation_space
        self._model, self._policy = model, policy
        flat = isinstance(space, spaces.Box) and not is_image_space(space) and len(space.shape) > 0
        self._plain = flat and type(policy).predict is BasePolicy.predict and type(model).predict in _PREDICTS
        self._explores = isinstance(model, (DQN, QRDQN))
        self._shape, self._size = space.shape, math.prod(space.shape or ())
        self._action_shape = policy.action_space.shape or ()
        self._box = policy.action_space if isinstance(policy.action_space, spaces.Box) else None
        self._way = _way(policy) if self._plain else None

    def serving(self, model: BaseAlgorithm) -> Shortcut:
        """Return itself if it was made for this model with the policy that it has now, else a new one."""
        return self if self._model is model and self._policy is model.policy else Shortcut(model)

    def act(self, obs: Any, deterministic: bool) -> Array | None:
        """Return actions for scaled observations, a batch or a single one; None where SB3 itself is to be asked."""
        if not self._plain or not isinstance(obs, np.ndarray) or "predict" in self._model.__dict__:
            return None
        single = obs.shape == self._shape
        if not single and obs.shape[1:] != self._shape:
            return None
        if self._explores and not deterministic and np.random.rand() < self._model.exploration_rate:  # type: ignore[attr-defined]
            space = self._model.action_space
            return np.array(space.sample() if single else [space.sample() for _ in range(len(obs))])
        actions = self._by_layers(obs, single, deterministic)
        if actions is None:
            actions = self._by_the_policy(obs, deterministic)
        actions = np.asarray(actions).reshape(self._action_shape if single else (-1, *self._action_shape))
        if self._box is None:
            return actions
        if self._policy.squash_output:
            return self._policy.unscale_action(actions)
        actions = np.asarray(np.maximum(actions, self._box.low))  # an array without axes would become a number
        return np.minimum(actions, self._box.high, out=actions)

    @np.errstate(all="ignore")  # torch says nothing of numbers that are too large
    def _by_layers(self, obs: Array, single: bool, deterministic: bool) -> Array | None:
        """Return the action for each row, None where only SB3's own code can."""
        way = self._way
        if way is None or not way.ready():
            return None
        if self._policy.training:
            self._policy.set_training_mode(False)
        seen = np.array(obs, np.float32).reshape(-1, self._size)
        return way.one(seen[0], deterministic) if single and way.one_row else way.rows(seen, deterministic)

    def _by_the_policy(self, obs: Array, deterministic: bool) -> Array:
        policy = self._policy
        if _training(policy):
            policy.set_training_mode(False)
        seen = torch.as_tensor(np.array(obs).reshape(-1, *self._shape), device=policy.device)  # type: ignore[misc]
        with torch.no_grad():
            return actions_of(policy, seen, deterministic=deterministic).cpu().numpy()


class Way(Protocol):
    """A policy as layers. What puts out numbers that are not finite is left to SB3, which says what is wrong."""

    @property
    def one_row(self) -> bool:
        """Whether `one` can be called."""

    def ready(self) -> bool:
        """Whether the layers are still plain ones."""

    def rows(self, seen: Array, deterministic: bool) -> Array | None:
        """Return the action for each row of observations, (rows, numbers)."""

    def one(self, seen: Array, deterministic: bool) -> Array | None:
        """Return the action for one observation, (numbers,)."""


class Straight:
    """Layers one after another, and what is chosen from their outputs."""

    def __init__(self, layers: Layers, choice: choosing.Choice) -> None:
        self._layers, self._choice = layers, choice
        self.ready = layers.ready

    @property
    def one_row(self) -> bool:
        """Whether `one` can be called."""
        return self._layers.one_row and self._choice.one is not None

    def rows(self, seen: Array, deterministic: bool) -> Array | None:
        """Return the action for each row of observations, (rows, numbers)."""
        out = self._layers.rows(torch.from_numpy(seen))
        return self._choice.rows(out, deterministic) if _finite(out.numpy().ravel()) else None

    def one(self, seen: Array, deterministic: bool) -> Array | None:
        """Return the action for one observation, (numbers,)."""
        out = self._layers.one(seen)
        if not _finite(out):
            return None
        return self._choice.one(out, deterministic, lambda: self._layers.rows(torch.from_numpy(seen[None])))  # type: ignore[misc]


class Forked:
    """The actor of SAC and TQC: layers under two heads, mean and spread, and a squashed draw.

    Without the second head (gSDE, whose noise is a state of its own) only the likeliest action is found here.
    """

    def __init__(self, trunk: Layers, mean: Layers, spread: Layers | None) -> None:
        self._trunk, self._mean, self._spread = trunk, mean, spread

    @property
    def one_row(self) -> bool:
        """Whether `one` can be called."""
        return self._trunk.one_row and self._mean.one_row

    def ready(self) -> bool:
        """Whether the layers are still plain ones."""
        return self._trunk.ready() and self._mean.ready() and (self._spread is None or self._spread.ready())

    def rows(self, seen: Array, deterministic: bool) -> Array | None:
        """Return the action for each row of observations, (rows, numbers)."""
        latent = self._trunk.rows(torch.from_numpy(seen))
        out = self._mean.rows(latent)
        if not _finite(out.numpy().ravel()):
            return None
        if deterministic:
            return out.tanh().numpy()
        if self._spread is None:
            return None
        return choosing.squashed(out, self._spread.rows(latent).clamp(sac.LOG_STD_MIN, sac.LOG_STD_MAX))

    def one(self, seen: Array, deterministic: bool) -> Array | None:
        """Return the action for one observation, (numbers,)."""
        latent = self._trunk.one(seen)
        out = self._mean.one(latent)
        if not _finite(out):
            return None
        if deterministic:
            return np.tanh(out)
        if self._spread is None:
            return None
        return choosing.squashed_one(out, np.clip(self._spread.one(latent), sac.LOG_STD_MIN, sac.LOG_STD_MAX))


def _training(policy: nn.Module) -> bool:
    """Whether any part is in training mode; to look takes a tenth of the time that switching all of them does."""
    parts = [policy]
    for part in parts:
        if part.training:
            return True
        parts.extend(child for child in part._modules.values() if child is not None)
    return False


def _finite(numbers: Array) -> bool:
    """Whether all of a vector are finite, with room to spare."""
    return math.isfinite(numbers.dot(numbers))


def _way(policy: Any) -> Way | None:
    """Return how a policy's layers give its actions, None for a policy that is not one of these."""
    if type(policy) is ActorCriticPolicy:
        return _actor_critic(policy)
    part = {td3.TD3Policy: "actor", sac.SACPolicy: "actor", tqc.TQCPolicy: "actor", DQNPolicy: "q_net"}.get(
        type(policy)
    )
    inner = None if part is None else getattr(policy, part)
    if inner is None or type(inner.features_extractor) is not FlattenExtractor:
        return None
    if type(inner) in (sac.Actor, tqc.Actor):
        return _forked(policy, inner)
    if type(inner) is td3.Actor:
        return _straight([inner.mu], _around(inner), [policy], choosing.OUTPUT)
    if type(inner) is QNetwork:
        return _straight([inner.q_net], _around(inner), [policy], choosing.HIGHEST)
    return None


def _around(inner: Any) -> list[Any]:
    return [inner, *inner.features_extractor.modules()]


def _straight(modules: list[Any], around: list[Any], frame: list[Any], choice: choosing.Choice) -> Straight | None:
    layers = Layers.of(modules, around=around, frame=frame)
    return None if layers is None else Straight(layers, choice)


def _actor_critic(policy: ActorCriticPolicy) -> Straight | None:
    extractor, perceptrons = policy.pi_features_extractor, policy.mlp_extractor
    choice = _choice(policy)
    if choice is None or type(extractor) is not FlattenExtractor or type(perceptrons) is not MlpExtractor:
        return None
    modules = [perceptrons.policy_net, policy.action_net]
    return _straight(modules, [*extractor.modules()], [policy, perceptrons], choice)


def _choice(policy: ActorCriticPolicy) -> choosing.Choice | None:
    kind = type(policy.action_dist)
    if kind is distributions.DiagGaussianDistribution:
        return choosing.normal(lambda: policy._parameters["log_std"].detach())  # type: ignore[union-attr]
    if kind is distributions.MultiCategoricalDistribution:
        return choosing.several(policy.action_dist.action_dims)
    if kind is distributions.CategoricalDistribution:
        return choosing.OPTION
    return choosing.COINS if kind is distributions.BernoulliDistribution else None


def _forked(policy: Any, actor: Any) -> Forked | None:
    kind = type(actor.action_dist)
    heads = [actor.mu]
    if kind is distributions.SquashedDiagGaussianDistribution:
        heads.append(actor.log_std)
    elif kind is not distributions.StateDependentNoiseDistribution:
        return None
    trunk = Layers.of([actor.latent_pi], around=_around(actor), frame=[policy])
    found = [Layers.of([head]) for head in heads]
    if trunk is None or None in found:
        return None
    return Forked(trunk, found[0], found[1] if len(found) > 1 else None)  # type: ignore[arg-type]
