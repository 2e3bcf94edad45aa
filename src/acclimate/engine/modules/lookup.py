"""Rows of a rollout that are looked up when they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer

from acclimate.engine.on_policy.distributions import Distribution
from acclimate.engine.on_policy.rows import Rows, as_drawn
from acclimate.nets.experience import Batch

Array = NDArray[Any]


@dataclass(frozen=True)
class Chosen:
    """Some rows of an array, or of a dict of them: images are too large to be copied in another order."""

    source: Any
    """A tensor or a dict of them, one row for each step."""
    rows: torch.Tensor
    """Which ones, as whole numbers."""

    def __getitem__(self, place: Any) -> Chosen:
        return Chosen(self.source, self.rows[place])

    def __len__(self) -> int:
        return len(self.rows)

    def read(self) -> Any:
        """Return a copy of the rows."""
        if isinstance(self.source, dict):
            return {key: _rows(part, self.rows) for key, part in self.source.items()}
        return _rows(self.source, self.rows)


def _rows(source: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    if source.dim() == 4 and source.is_contiguous(memory_format=torch.channels_last):
        # Whole rows are copied at once, where indexing would go from number to number.
        pixels = source.permute(0, 2, 3, 1)
        return pixels.flatten(1).index_select(0, rows).view(-1, *pixels.shape[1:]).permute(0, 3, 1, 2)
    return source[rows]


@dataclass(frozen=True)
class ChosenRows(Rows):
    """Steps of a rollout whose observations stay where they were written."""

    observations: Any
    """`Chosen`."""
    features: Any
    """`Chosen`, what the network reads of them."""

    def shuffled(self, order: Array, distribution: Distribution) -> ChosenRows:
        """Return them in another order; the observations are looked up later."""
        chosen = torch.from_numpy(order)
        return ChosenRows(self.observations[chosen], self.features[chosen], *self._others(order, distribution))

    def current(self, oracle: Any) -> ChosenRows:
        """Return them: what is kept of them looks to its weights itself."""
        return self

    def all(self) -> Batch:
        """Return all of them, with observations that are still to be looked up."""
        return Batch(self.observations, torch.from_numpy(self.actions))

    def batch(self, place: slice) -> Batch:
        """Return some of them as methods see them."""
        return Batch(self.observations[place].read(), torch.from_numpy(self.actions[place]))


def choose(buffer: RolloutBuffer, distribution: Distribution, dtype: Any) -> ChosenRows:
    """Return the rows of a full buffer in SB3's order, the steps of one environment after another."""
    steps, environments = buffer.buffer_size, buffer.n_envs
    order = np.arange(steps * environments)
    if not buffer.generator_ready:
        order = order.reshape(steps, environments).T.reshape(-1).copy()
    observations = Chosen(tensors(buffer), torch.from_numpy(order))
    actions = as_drawn(buffer.actions).reshape(len(order), -1)[order]
    numbers = (getattr(buffer, n).reshape(-1)[order] for n in ("values", "log_probs", "advantages", "returns"))
    return ChosenRows(
        observations,
        observations,
        actions,
        distribution.prepared(actions),
        *(n.astype(dtype, copy=False) for n in numbers),
        np.arange(len(order)),
    )


def tensors(buffer: RolloutBuffer) -> Any:
    """Return a buffer's observations as tensors, or a dict of them, one row for each step of an environment."""
    observations: Any = buffer.observations
    if isinstance(observations, dict):
        return {key: _joined(part, buffer) for key, part in observations.items()}
    return _joined(observations, buffer)


def _joined(array: Array, buffer: RolloutBuffer) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    return tensor if buffer.generator_ready else tensor.flatten(0, 1)
