"""How far an agent's own actions are rounding's: whoever computes them in another order gets others by as much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acclimate.agents.agent import Agent

Array = NDArray[Any]

TRIES = 4


def moves(agent: Agent, observations: Any, asked: Mapping[str, Any], rng: np.random.Generator) -> Array:
    """Return how far each action moves when the last bits of what the network reads do, in the actions' units.

    Args:
        agent: stays as it is.
        observations: raw, a batch.
        asked: what `predict` is asked with besides.
        rng: draws which way each number moves; whole numbers stay.
    """
    scaled = observations if agent.normalizer is None else agent.normalizer.normalize_obs(observations)
    bare = agent.around(agent.model, normalizer=None)

    def acts(seen: Any) -> Array:
        return np.asarray(bare.predict(seen, deterministic=True, **asked)[0], np.float64)

    exact = acts(scaled)
    return np.max([np.abs(acts(_nudged(scaled, rng)) - exact) for _ in range(TRIES)], axis=0)


def _nudged(seen: Any, rng: np.random.Generator) -> Any:
    if isinstance(seen, Mapping):
        return {key: _nudged(value, rng) for key, value in seen.items()}
    if seen.dtype.kind != "f":
        return seen
    read = seen.astype(np.float32)
    return np.nextafter(read, np.where(rng.random(read.shape) < 0.5, np.inf, -np.inf).astype(np.float32))
