"""Random numbers that a key alone decides, so that runs repeat and go on where they were."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import torch
from torch import Tensor


def generator(*key: int | str) -> torch.Generator:
    """Return a fresh generator, the same for the same key: a seed, a name, a count ...

    Example:
        >>> bool(torch.rand(3, generator=generator(0, "a")).equal(torch.rand(3, generator=generator(0, "a"))))
        True
    """
    entropy = [crc32(part.encode()) if isinstance(part, str) else part for part in key]
    return torch.Generator().manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


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
