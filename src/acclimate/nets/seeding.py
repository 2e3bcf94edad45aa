"""Random numbers that a key alone decides, so that runs repeat and go on where they were."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import torch


def seed_of(*key: int | str) -> int:
    """Return a seed that belongs to a key: the seed of the run, a role, what is counted ...

    Example:
        >>> seed_of(0, "actor", 1) == seed_of(0, "actor", 1) != seed_of(0, "critic", 1)
        True
    """
    entropy = [crc32(part.encode()) if isinstance(part, str) else part for part in key]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def generator(*key: int | str) -> torch.Generator:
    """Return a source of random numbers with that seed, which moves nobody else's."""
    return torch.Generator().manual_seed(seed_of(*key))
