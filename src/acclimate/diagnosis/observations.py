"""How far what an agent sees and is paid lies from what it was pretrained on."""

from __future__ import annotations

import math
from typing import Any

import torch
from gymnasium.spaces import Dict, Space
from stable_baselines3.common.preprocessing import get_obs_shape
from torch import Tensor

MOST_FEATURES = 1000
"""Pictures have no features whose means would say anything."""


def flat(observations: Any) -> Tensor | None:
    """Return (rows, features); the parts of a dict side by side; None for pictures."""
    parts = list(observations.values()) if isinstance(observations, dict) else [observations]
    joined = torch.cat([part.detach().double().flatten(1) for part in parts], 1)
    return joined if joined.shape[1] <= MOST_FEATURES else None


def names(space: Space[Any]) -> tuple[str, ...]:
    """Return what the features of `flat` are called, as a normaliser calls its own; none for pictures."""
    parts = space.spaces if isinstance(space, Dict) else {"": space}
    sizes = {key: math.prod(get_obs_shape(part)) for key, part in parts.items()}  # type: ignore[arg-type]
    if sum(sizes.values()) > MOST_FEATURES:
        return ()
    return tuple(f"{key}[{place}]" if key else str(place) for key, size in sizes.items() for place in range(size))


def clipped(observations: Any, bound: float, scaled: Any) -> float | None:
    """Return the share of numbers that lie at the bound at which a normaliser clips.

    Args:
        observations: as the networks read them.
        bound: of the normaliser.
        scaled: its statistics; of a dict only the parts that it has statistics of are scaled.
    """
    rows = flat({key: observations[key] for key in scaled} if isinstance(scaled, dict) else observations)
    return None if rows is None else float((rows.abs() >= bound).double().mean())


def shift(now: Any, then: Any) -> tuple[int, float] | None:
    """Return the feature whose mean moved most, and how far in standard deviations of `then`.

    Features that did not vary then have no scale and are left out. None for pictures, or if none varies.
    """
    after, before = flat(now), flat(then)
    if after is None or before is None:
        return None
    spread = before.std(0, correction=0)
    moved = (after.mean(0) - before.mean(0)).abs()
    far = torch.where(spread > 1e-6, moved / spread.clamp(min=1e-6), torch.zeros_like(moved))
    worst = int(far.argmax())
    return (worst, float(far[worst])) if bool((spread > 1e-6).any()) else None


def reward_scale(now: Tensor, then: Tensor) -> float | None:
    """Return the ratio of the mean absolute rewards; None where there were none."""
    before = float(then.abs().mean())
    return float(now.abs().mean()) / before if before > 0 else None
