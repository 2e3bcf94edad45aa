"""Minibatches of a replay buffer: the rows that SB3 would draw, as arrays and as methods see them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.engine.learning.recall import LIMIT, Recall
from acclimate.nets.experience import Batch
from acclimate.tuning.composition import Composition

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
    places: Array | None = None
    """(rows,), where each step lies in the buffer, if what is drawn there is the same each time."""


class Replay:
    """Draws minibatches from a model's replay buffer, by numpy's generator as SB3 does."""

    def __init__(self, model: Any, composition: Composition, read: Callable[[Array], Array]) -> None:
        """Read from the buffer that the model has at each draw.

        Args:
            model: the algorithm.
            composition: its methods may change what is drawn.
            read: turns observations into what the first layers read.
        """
        self._model, self._composition, self._read = model, composition, read
        self._changes = any(True for _ in composition.each("minibatch"))
        self.recalls: list[Recall] = []
        """What is kept of the steps in the buffer."""
        self.stored = 0
        """How many times steps were stored."""
        self._seen: tuple[Any, int, int] = (None, 0, 0)
        self._scaled: Any = None

    @property
    def kept(self) -> str:
        """What is kept beside the buffer, in words; nothing if nothing is."""
        buffer, at_work = self._model.replay_buffer, [recall for recall in self.recalls if recall.due]
        changing = self._changes or buffer.optimize_memory_usage or _moves(self._model._vec_normalize_env)
        if changing or not at_work:
            return ""
        places, limit = buffer.buffer_size * buffer.n_envs, LIMIT // len(self.recalls)
        most = math.ceil(sum(recall.room(places, limit) for recall in at_work) / 2**20)
        return f"; what fixed networks put out of stored steps is kept beside the replay buffer, in up to {most} MiB"

    def draw(self, rows: int) -> Sample:
        """Return a minibatch."""
        buffer, normalize = self._model.replay_buffer, self._model._vec_normalize_env
        batch, places = self.rows(buffer, rows, normalize)
        if self._changes:
            batch = self._composition.minibatch(batch)
        elif self.recalls:
            self._forget(buffer, normalize)
        return Sample(
            batch,
            self._read(batch.observations.numpy()),
            self._read(batch.next_observations.numpy()),
            batch.actions.numpy(),  # type: ignore[union-attr]
            batch.rewards.numpy().reshape(-1),  # type: ignore[union-attr]
            1.0 - batch.dones.numpy().reshape(-1),  # type: ignore[union-attr]
            None if self._changes or _moves(normalize) else places,
        )

    def rows(self, buffer: Any, rows: int, normalize: Any) -> tuple[Batch, Array | None]:
        """Draw rows as SB3 does, and return them with where they lie, if what is drawn there is the same each time."""
        if buffer.optimize_memory_usage:
            data = buffer.sample(rows, env=normalize)
            return Batch(data.observations, data.actions, data.rewards, data.next_observations, data.dones), None
        place = np.random.randint(0, buffer.buffer_size if buffer.full else buffer.pos, size=rows)
        place = place * buffer.n_envs + np.random.randint(0, high=buffer.n_envs, size=rows)
        observations, after = (_take(a, place) for a in (buffer.observations, buffer.next_observations))
        rewards = _take(buffer.rewards, place)[:, None]
        if normalize is not None:
            observations, after = normalize.normalize_obs(observations), normalize.normalize_obs(after)
            rewards = normalize.normalize_reward(rewards).astype(np.float32)
        dones = _take(buffer.dones, place) * (1 - _take(buffer.timeouts, place))
        actions = _take(buffer.actions, place)
        return Batch(*(torch.from_numpy(a) for a in (observations, actions, rewards, after, dones[:, None]))), place

    def _forget(self, buffer: Any, normalize: Any) -> None:
        """Let go of what is kept of steps that were written over since the last draw."""
        of, position, stored = self._seen
        size, beside, scaled = buffer.buffer_size, buffer.n_envs, _scaling(normalize)
        written = self.stored - stored
        # Somebody else may have stored steps, or put another buffer in its place.
        known = of is buffer and written < size and (position + written) % size == buffer.pos
        gone = None
        if known and scaled == self._scaled:
            gone = np.arange(position * beside, (position + written) * beside) % (size * beside)
        self._seen, self._scaled = (buffer, buffer.pos, self.stored), scaled
        for recall in self.recalls:
            recall.places, recall.limit = size * beside, LIMIT // len(self.recalls)
            if gone is None or len(gone):
                recall.forget(gone)
            recall.begin()


def _moves(normalize: Any) -> bool:
    """Tell whether the observations of a step are another time normalised otherwise."""
    return normalize is not None and normalize.norm_obs and normalize.training


def _scaling(normalize: Any) -> Any:
    """Return what normalised observations follow from."""
    if normalize is None or not normalize.norm_obs:
        return None
    statistics = normalize.obs_rms
    return statistics.mean.tobytes(), statistics.var.tobytes(), normalize.clip_obs, normalize.epsilon


def _take(stored: Array, place: Array) -> Array:
    """Return rows of what is stored as (steps, environments, ...)."""
    return stored.reshape(-1, *stored.shape[2:]).take(place, axis=0)
