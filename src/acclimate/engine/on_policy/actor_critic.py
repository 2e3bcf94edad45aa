"""The gradient oracle of PPO and A2C: actor and critic as two perceptrons beside each other."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor, MlpExtractor

from acclimate.engine.arrays.flat import Flat
from acclimate.engine.arrays.perceptron import Dense, dense_layers
from acclimate.engine.arrays.side import features
from acclimate.engine.arrays.split import Split
from acclimate.engine.arrays.weights import intrusion
from acclimate.engine.learning import refusals
from acclimate.engine.on_policy.distributions import Choices, Coins, Distribution, Normal
from acclimate.engine.on_policy.inputs import Inputs, Kept

Array = NDArray[Any]


class ActorCritic:
    """Runs the policy of PPO and A2C without torch, on the very parameters that torch sees."""

    def __init__(self, policy: ActorCriticPolicy, flat: Flat) -> None:
        """Take the policy apart; `refusal` has said that it can be."""
        actor, critic = _sides(policy)
        self.actor, self.critic = Split(actor, flat), Split(critic, flat)  # type: ignore[arg-type]
        self.distribution = distribution_of(policy, flat)
        self.dtype = flat.values.dtype
        self.kept = Kept(self.actor, self.critic)

    def features(self, observations: Array) -> Array:
        """Return observations as the first layer reads them, (rows, numbers)."""
        return features(observations, self.dtype)

    def look(self, rows: int) -> None:
        """See which layers are trained now; a rollout has so many rows."""
        self.kept.look(rows, self.dtype)

    def keeps(self, rows: int) -> int:
        """Return how many bytes are kept of a rollout of so many rows."""
        self.look(rows)
        return self.kept.bytes(rows, self.dtype)

    def inputs(self, x: Array) -> Inputs:
        """Return what `forward` reads of some rows of a rollout, given their `features`."""
        self.compute()
        return self.kept.of(x)

    def forward(self, x: Inputs) -> tuple[Array, Array]:
        """Return what actor and critic put out, (rows, out) and (rows, 1)."""
        return self.actor.upper_beside(x.actor, self.critic, x.critic)

    def backward(self, x: Inputs, at_out: Array, at_value: Array) -> None:
        """Write the gradients, given those at what `forward` put out for the same rows; these are written over."""
        self.actor.back_beside(x.actor, at_out, self.critic, x.critic, at_value)

    def compute(self) -> None:
        """Bring the weights of both sides up to date."""
        self.actor.compute()
        self.critic.compute()


def _sides(policy: ActorCriticPolicy) -> tuple[tuple[Dense, ...] | str, tuple[Dense, ...] | str]:
    extractor = policy.mlp_extractor
    actor = dense_layers([*extractor.policy_net, policy.action_net])
    return actor, dense_layers([*extractor.value_net, policy.value_net])


def distribution_of(policy: ActorCriticPolicy, flat: Flat) -> Distribution:
    """Return the distribution that a policy draws actions from; its spread, where it has one, is in `flat`."""
    dist = policy.action_dist
    if isinstance(dist, DiagGaussianDistribution):
        log_std = policy.log_std
        return Normal(flat.value_of(log_std), flat.gradient_of(log_std), log_std)
    if isinstance(dist, CategoricalDistribution):
        return Choices([dist.action_dim], single=True)
    if isinstance(dist, MultiCategoricalDistribution):
        return Choices(dist.action_dims, single=False)
    return Coins()


def refusal(policy: Any) -> str | None:
    """Return why a policy cannot be run here, None if it can."""
    if (why := refusals.policy(policy, ActorCriticPolicy)) is not None:
        return why
    if type(policy.features_extractor) is not FlattenExtractor or type(policy.mlp_extractor) is not MlpExtractor:
        return f"the features extractor {type(policy.features_extractor).__name__}"
    why = (
        refusals.no_vector(policy)
        or refusals.distribution(policy)
        or intrusion(policy)
        or refusals.elsewhere(policy)
        or refusals.precision(policy)
    )
    if why is not None:
        return why
    for side, layers in zip(("actor", "critic"), _sides(policy), strict=True):
        if isinstance(layers, str):
            return f"its {side}: {layers}"
    return None
