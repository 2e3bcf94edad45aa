"""Two environments side by side: do they answer the same actions differently?"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import data_equivalence

from acclimate.shifts.masks import allowed, by_chance

STEPS = 300
"""Enough random steps to fall and to hit joint limits; most shifts show in the first."""


def differs(one: gym.Env, other: gym.Env, *, steps: int = STEPS, seed: int = 0) -> bool:
    """Whether a seeded rollout of random actions ever shows another observation, reward or end of episode.

    Where an environment tells which actions it allows, those are drawn from, and others than before are a difference.

    Both are reset with the same seeds and given the same actions; the comparison is exact and stops at the
    first difference, so it is quick where there is one.

    Args:
        one: an environment with the action space of the other.
        other: the environment to compare with.
        steps: give up after so many.
        seed: of the first episode and of the actions.
    """
    other.action_space.seed(seed)
    episode = seed
    if not _same(one.reset(seed=episode)[0], other.reset(seed=episode)[0]):
        return True
    for _ in range(steps):
        masks = [allowed(env) for env in (one, other)]
        if not _same(*masks):
            return True
        action = by_chance(other)
        left, right = one.step(action)[:4], other.step(action)[:4]
        if not all(_same(a, b) for a, b in zip(left, right, strict=True)):
            return True
        if left[2] or left[3]:
            episode += 1
            if not _same(one.reset(seed=episode)[0], other.reset(seed=episode)[0]):
                return True
    return False


def rewarded(env: gym.Env, *, steps: int = STEPS, seed: int = 0) -> bool:
    """Whether a seeded rollout of random actions ever gives a reward other than zero."""
    env.action_space.seed(seed)
    env.reset(seed=seed)
    for step in range(steps):
        _, reward, terminated, truncated, _ = env.step(by_chance(env))
        if reward != 0:
            return True
        if terminated or truncated:
            env.reset(seed=seed + step + 1)
    return False


def shows(probability: float) -> bool:
    """Whether what happens so often in a step is practically sure to happen in the steps of `differs`."""
    return probability * STEPS >= 20


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    if np.isscalar(one) and np.isscalar(other):
        return bool(one == other)
    return data_equivalence(one, other, exact=True)
