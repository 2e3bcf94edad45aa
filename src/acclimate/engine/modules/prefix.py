"""What the fixed first stages of a network put out on a rollout, computed once and kept for all of its epochs.

Which stages are fixed follows from what is trained now (`Stages.fixed`), not from what anybody has declared. Where all
of the trunk is fixed, it goes on into actor and critic.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from acclimate.engine.modules.lookup import Chosen
from acclimate.engine.modules.stages import Stages

LIMIT = 64 << 20
"""Bytes that the outputs of a rollout may take for each of trunk, actor and critic; of what needs more, the outputs of
an earlier stage are kept, or none."""
PIECE = 256
"""Rows that are computed at once."""


class Kept:
    """What the first stages put out on a rollout."""

    def __init__(self, stages: Stages, depth: int, like: Tensor, rows: int) -> None:
        """Make room.

        Args:
            stages: of which the first are kept.
            depth: how many these are.
            like: what they put out for some rows.
            rows: of the rollout.
        """
        self.stages, self.depth = stages, depth
        form = torch.channels_last if like.dim() == 4 else torch.contiguous_format
        self.outputs = torch.empty((rows, *like.shape[1:]), dtype=like.dtype, memory_format=form)
        self.complete = False

    @property
    def parameters(self) -> list[Tensor]:
        """The parameters of these stages."""
        some = list(self.stages)[: self.depth]
        return [p for stage in some for module in stage.modules for p in module.parameters()]

    def put(self, place: slice, x: Tensor) -> None:
        """Keep what the stages put out; rows come in order."""
        self.outputs[place] = x
        self.complete = place.stop == len(self.outputs)


class Prefix:
    """The fixed first stages of trunk, actor and critic."""

    def __init__(self, trunk: Stages, actor: Stages, critic: Stages) -> None:
        self.trunk, self.actor, self.critic = trunk, actor, critic
        self._kept: dict[Stages, Kept] = {}
        self._fixed: list[int] = []
        self._versions: list[int] = []

    @torch.no_grad()
    def begin(self, observation: Any, rows: int) -> None:
        """Find out what is fixed now.

        Args:
            observation: one or more, to see how much there is to keep.
            rows: of a rollout.
        """
        self._kept = {}
        self._fixed = self._now()
        x = self._plan(self.trunk, observation, rows)
        if self.trunk.fixed == len(self.trunk):
            self._plan(self.actor, x, rows)
            self._plan(self.critic, x, rows)
        self._versions = self._written()

    def _plan(self, stages: Stages, x: Any, rows: int) -> Any:
        """Choose the last stage whose outputs there is room for; return what all fixed ones put out."""
        for depth in range(1, stages.fixed + 1):
            x = stages(x, depth - 1, depth)
            if isinstance(x, Tensor) and rows * x[0].numel() * x.element_size() <= LIMIT:
                kept = Kept(stages, depth, x, rows)
                if kept.parameters:
                    self._kept[stages] = kept
        return x

    def _now(self) -> list[int]:
        return [stages.fixed for stages in (self.trunk, self.actor, self.critic)]

    def _written(self) -> list[int]:
        """Return how often the parameters were written."""
        return [p._version for kept in self._kept.values() for p in kept.parameters]

    @property
    def bytes(self) -> int:
        """How much is kept."""
        return sum(kept.outputs.numel() * kept.outputs.element_size() for kept in self._kept.values())

    def forget(self) -> None:
        """Compute all anew, as parameters were replaced."""
        for kept in self._kept.values():
            kept.complete = False

    # What reads it

    def act(self, observation: Any, place: slice) -> Any:
        """Return what the trunk puts out in a step of a rollout, and keep what is fixed of it.

        Args:
            observation: of each environment.
            place: where the step's rows lie in the buffer.
        """
        kept = self._kept.get(self.trunk)
        if kept is None:
            return self.trunk(observation)
        x = self.trunk(observation, 0, kept.depth)
        kept.put(place, x)
        return self.trunk(x, kept.depth)

    def ready(self, observations: Any, rows: int) -> None:
        """Make sure, as an update begins, that all that is fixed now has been computed.

        Args:
            observations: of the rollout, as tensors.
            rows: how many.
        """
        self._observations, self._rows = observations, rows
        if self._now() != self._fixed:
            self.begin(Chosen(observations, torch.arange(1)), rows)
        self._refresh()

    def _refresh(self) -> None:
        if not self._kept:
            return
        if self._written() != self._versions:
            self.forget()
            self._versions = self._written()
        for kept in self._kept.values():
            if not kept.complete:
                self._fill(kept)

    @torch.no_grad()
    def _fill(self, kept: Kept) -> None:
        for begin in range(0, self._rows, PIECE):
            place = slice(begin, min(begin + PIECE, self._rows))
            x: Any = Chosen(self._observations, torch.arange(place.start, place.stop))
            if kept.stages is not self.trunk:
                x = self._through(self.trunk, x, x)
            kept.put(place, kept.stages(x, 0, kept.depth))

    def outputs(self, x: Chosen) -> tuple[Tensor, Tensor]:
        """Return what actor and critic put out on rows of the rollout."""
        self._refresh()
        both = self.actor in self._kept and self.critic in self._kept
        features = None if both else self._through(self.trunk, x, x)
        return self._through(self.actor, x, features), self._through(self.critic, x, features)

    def _through(self, stages: Stages, rows: Chosen, x: Any) -> Any:
        """Return what stages put out: from what is kept on, or all of the way from `x`."""
        kept = self._kept.get(stages)
        if kept is None or not kept.complete:
            return stages(x)
        return stages(Chosen(kept.outputs, rows.rows), kept.depth)
