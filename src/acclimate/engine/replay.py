"""Minibatches of a replay buffer: the rows that SB3 would draw, as arrays and as methods see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.composition import Composition
from acclimate.engine.side import features
from acclimate.experience import Batch

Array = NDArray[Any]


@dataclass(frozen=True)
class Sample:
    """A minibatch, one row for each step."""

    batch: Batch
    """As SB3 hands it out."""
    observations: Array
    """As the first layers read them."""
    next_observations: Array
    actions: Array
    rewards: Array
    """(rows,)"""
    going: Array
    """(rows,), 0 where an episode ended, 1 elsewhere."""


class Replay:
    """Draws minibatches from a model's replay buffer, by numpy's generator as SB3 does."""

    def __init__(self, model: Any, composition: Composition, dtype: np.dtype[Any]) -> None:
        """Read from the buffer that the model has at each draw.

        Args:
            model: the algorithm.
            composition: its methods may change what is drawn.
            dtype: of the networks.
        """
        self._model, self._composition, self._dtype = model, composition, dtype
        self._changes = any(True for _ in composition.each("minibatch"))

    def draw(self, rows: int) -> Sample:
        """Return a minibatch."""
        buffer, normalize = self._model.replay_buffer, self._model._vec_normalize_env
        batch = self._rows(buffer, rows, normalize)
        if self._changes:
            batch = self._composition.minibatch(batch)
        return Sample(
            batch,
            features(batch.observations.numpy(), self._dtype),
            features(batch.next_observations.numpy(), self._dtype),
            batch.actions.numpy(),  # type: ignore[union-attr]
            batch.rewards.numpy().reshape(-1),  # type: ignore[union-attr]
            1.0 - batch.dones.numpy().reshape(-1),  # type: ignore[union-attr]
        )

    def _rows(self, buffer: Any, rows: int, normalize: Any) -> Batch:
        if buffer.optimize_memory_usage:
            data = buffer.sample(rows, env=normalize)
            return Batch(data.observations, data.actions, data.rewards, data.next_observations, data.dones)
        place = np.random.randint(0, buffer.buffer_size if buffer.full else buffer.pos, size=rows)
        place = place * buffer.n_envs + np.random.randint(0, high=buffer.n_envs, size=rows)
        observations, after = (_take(a, place) for a in (buffer.observations, buffer.next_observations))
        rewards = _take(buffer.rewards, place)[:, None]
        if normalize is not None:
            observations, after = normalize.normalize_obs(observations), normalize.normalize_obs(after)
            rewards = normalize.normalize_reward(rewards).astype(np.float32)
        dones = _take(buffer.dones, place) * (1 - _take(buffer.timeouts, place))
        actions = _take(buffer.actions, place)
        return Batch(*(torch.from_numpy(a) for a in (observations, actions, rewards, after, dones[:, None])))


def _take(stored: Array, place: Array) -> Array:
    """Return rows of what is stored as (steps, environments, ...)."""
    return stored.reshape(-1, *stored.shape[2:]).take(place, axis=0)
