"""Which rows of a minibatch give way to stored ones."""

from __future__ import annotations

import torch
from torch import Tensor

from acclimate.nets.seeding import generator


def exchange(share: float, rows: int, stored: int, *key: int | str) -> tuple[Tensor, Tensor]:
    """Return which rows of a minibatch give way to which of the stored ones.

    Args:
        share: how many give way; one at least if it is above 0.
        rows: of the minibatch.
        stored: how many there are to draw from, with replacement.
        key: decides what is drawn.
    """
    source = generator(*key)
    count = max(1, round(share * rows)) if share > 0 else 0
    return torch.randperm(rows, generator=source)[:count], torch.randint(stored, (count,), generator=source)
