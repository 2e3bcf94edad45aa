"""The rows of a rollout, as an update reads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer

from acclimate.engine.on_policy.actor_critic import ActorCritic
from acclimate.engine.on_policy.distributions import Distribution
from acclimate.engine.on_policy.inputs import Inputs
from acclimate.nets.experience import Batch

Array = NDArray[Any]


@dataclass(frozen=True)
class Rows:
    """Steps of a rollout; each array has one row for each step."""

    observations: Array
    features: Inputs
    """What actor and critic read of them."""
    actions: Array
    prepared: Array
    """The actions as their distribution reads them."""
    values: Array
    log_likelihood: Array
    advantages: Array
    returns: Array
    index: Array
    """Where each row stands in the rollout."""

    def shuffled(self, order: Array, distribution: Distribution) -> Rows:
        """Return copies in another order: minibatches are then views, and no row is looked up a second time."""
        copies: dict[int, Array] = {}

        def copied(rows: Array) -> Array:
            # Where two are the same array they stay so.
            if id(rows) not in copies:
                copies[id(rows)] = rows.take(order, axis=0)
            return copies[id(rows)]

        features = Inputs(copied(self.features.actor), copied(self.features.critic), self.features.state)
        return Rows(copied(self.observations), features, *self._others(order, distribution))

    def _others(self, order: Array, distribution: Distribution) -> tuple[Array, ...]:
        """Return copies of all but the observations in another order."""
        prepared = distribution.rows(self.prepared, order)
        numbers = (self.values, self.log_likelihood, self.advantages, self.returns, self.index)
        return (self.actions[order], prepared, *(n[order] for n in numbers))

    def current(self, oracle: ActorCritic) -> Rows:
        """Return them with features of the weights as they are."""
        if oracle.kept.holds(self.features):
            return self
        return dataclasses.replace(self, features=oracle.inputs(oracle.features(self.observations)))

    def all(self) -> Batch:
        """Return all of them as methods see them."""
        return self.batch(slice(None))

    def batch(self, place: slice) -> Batch:
        """Return some of them as methods see them."""
        return Batch(torch.from_numpy(self.observations[place]), torch.from_numpy(self.actions[place]))


def as_drawn(stored: Array) -> Array:
    """Return a buffer's actions in the type in which SB3's minibatches have them, whatever the action space holds."""
    return stored.astype(np.float32, copy=False)


def lay_out(buffer: RolloutBuffer, oracle: ActorCritic) -> Rows:
    """Return the rows of a full buffer with its environments' steps one after the other, as SB3 lays them out."""

    def flat(array: Array) -> Array:
        # The buffer may have been laid out already, by whoever read it before.
        if buffer.generator_ready:
            return array
        return array.swapaxes(0, 1).reshape(array.shape[0] * array.shape[1], *array.shape[2:])

    observations, actions = flat(buffer.observations), as_drawn(flat(buffer.actions))
    numbers = (flat(getattr(buffer, n)).reshape(-1) for n in ("values", "log_probs", "advantages", "returns"))
    features = oracle.features(observations)
    return Rows(
        # Where the two are the same numbers they are kept once.
        features if features.shape == observations.shape and features.dtype == observations.dtype else observations,
        oracle.inputs(features),
        actions,
        oracle.distribution.prepared(actions),
        *(n.astype(oracle.dtype, copy=False) for n in numbers),
        np.arange(len(observations)),
    )


def minibatches(rows: int, size: int | None) -> Iterator[slice]:
    """Yield where the minibatches of shuffled rows lie."""
    size = rows if size is None else size
    for begin in range(0, rows, size):
        yield slice(begin, min(begin + size, rows))
