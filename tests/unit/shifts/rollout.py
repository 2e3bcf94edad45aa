"""A seeded rollout of random actions, written anew and apart from what the library verifies with."""

from __future__ import annotations

import gymnasium as gym
import numpy as np


def rollout(env: gym.Env, *, steps: int = 60, seed: int = 3) -> np.ndarray:
    """Return observation, reward and end of every step of a fresh environment, one row each."""
    env.action_space.seed(seed)
    rows = [np.append(np.ravel(env.reset(seed=seed)[0]), [0.0, 0.0])]
    for step in range(steps):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        rows.append(np.append(np.ravel(observation), [float(reward), float(terminated or truncated)]))
        if terminated or truncated:
            env.reset(seed=seed + step + 1)
    env.close()
    return np.array(rows)
