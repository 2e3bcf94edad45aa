"""The state of a guard as one row of numbers, as files and wires have it."""

from __future__ import annotations

import torch
from torch import Tensor

from acclimate.guard.tiers.tier import State


class Packing:
    """Where each part of a state stands in a row; all of it is 32-bit floats."""

    def __init__(self, beginning: State) -> None:
        """Lay it out after the state where an episode begins, which has no axis of rows."""
        self._shapes = {name: value.shape for name, value in beginning.items()}
        self._sizes = [value.numel() for value in beginning.values()]

    def __len__(self) -> int:
        """Return how many numbers a row has."""
        return sum(self._sizes)

    def pack(self, state: State) -> Tensor:
        """Return a state as rows, (rows, numbers)."""
        return torch.cat(
            [state[name].flatten(1) if len(shape) > 1 else state[name] for name, shape in self._shapes.items()], 1
        )

    def unpack(self, rows: Tensor) -> State:
        """Return the state in rows that `pack` made."""
        parts = rows.split(self._sizes, dim=1)
        pairs = zip(self._shapes.items(), parts, strict=True)
        return {name: part.reshape(-1, *shape) if len(shape) > 1 else part for (name, shape), part in pairs}
