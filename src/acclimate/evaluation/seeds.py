"""Every seed of an episode, and why: what chooses an agent, what judges it and what trains it never meet.

Episode `i` of an evaluation is reset with its seed plus `i`, so that agents are paired episode by episode. Each use has
a range of its own, and may play as many episodes as lie between it and the next.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

from acclimate.errors import ConfigError

GUARD_SEED = 1_000
"""The clean episodes that a guard learns from and is calibrated by."""
GUARD_TEST_SEED = 6_000
"""The clean and the faulty episodes that measure a guard."""
FINAL_SEED = 10_000
"""The final evaluation, which nothing before it has seen; also what `evaluate` and films begin with."""
SELECTION_SEED = 20_000
"""The measurements during training, by which snapshots are compared."""
CHOOSING_SEED = 24_000
"""The episodes that choose one agent of what training brought."""
JUDGING_SEED = 25_000
"""The episodes that decide whether the chosen one is kept."""
PROBE_SEED = 30_000
"""The short look before training."""
METHOD_SEED = 35_000
"""The steps that methods ask for."""
DIAGNOSIS_SEED = 37_000
"""The states on which networks are compared."""
REPEATING_SEED = 39_000
"""The look at whether a seed determines its episode."""
TRAINING_SEED = 40_000
"""The training environments of seed 0."""
EPISODES_PER_SEED = 1_000
"""How far the training environments of one seed lie from those of the next."""
MOST_SEED = 2**32 - 1
"""The largest seed that numpy's old generator takes, which Stable-Baselines3 and many environments draw from."""
ROOM = 3 * 2**30
"""Within so many the training environments of all seeds begin: what follows leaves resumed runs their new episodes."""


def training_seed(seed: int) -> int:
    """Return the first episode seed of the training environments of a run, apart from all evaluation seeds."""
    return TRAINING_SEED + seed * EPISODES_PER_SEED % ROOM


def check_seed(seed: Any, where: str) -> int:
    """Return a seed that numpy, torch and Gymnasium all take.

    Raises:
        ConfigError: It is no whole number, or out of range; the message begins with `where`.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed <= MOST_SEED:
        raise ConfigError(f"{where} is {seed!r}; give a whole number from 0 to {MOST_SEED}.")
    return int(seed)
