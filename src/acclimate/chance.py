"""Seeds for what a method draws itself, so that runs repeat and go on where they were."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import torch


def seed_of(seed: int, role: str, *numbers: int) -> int:
    """Return a seed that belongs to the seed of the run, a role and what is counted.

    Example:
        >>> seed_of(0, "actor", 1) == seed_of(0, "actor", 1) != seed_of(0, "critic", 1)
        True
    """
    entropy = [seed, crc32(role.encode()), *numbers]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def generator(seed: int, role: str, *numbers: int) -> torch.Generator:
    """Return a source of random numbers with that seed, which moves nobody else's."""
    return torch.Generator().manual_seed(seed_of(seed, role, *numbers))
