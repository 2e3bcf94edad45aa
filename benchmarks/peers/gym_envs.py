"""Environments as single-file implementations make them: Gymnasium's own vector environment and wrappers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.atari_wrappers import AtariWrapper

from benchmarks.peers.workload import Workload

FRAMES = 4
"""Of Atari that are seen together."""


def know_atari() -> None:
    """Tell Gymnasium of the games that ale-py has."""
    import ale_py

    gym.register_envs(ale_py)


def vector(work: Workload) -> SyncVectorEnv:
    """Return the environments, whose last observation of an episode stands in `final_obs`."""
    made: list[Callable[[], gym.Env[Any, Any]]] = [lambda: _one(work)] * work.n_envs
    return SyncVectorEnv(made, autoreset_mode=AutoresetMode.SAME_STEP)


def _one(work: Workload) -> gym.Env[Any, Any]:
    if work.images:
        return _atari(work)
    env = gym.wrappers.RecordEpisodeStatistics(gym.make(work.env))
    if isinstance(env.action_space, gym.spaces.Box) and work.algorithm == "ppo":
        env = gym.wrappers.ClipAction(env)
    if work.normalized:
        env = gym.wrappers.NormalizeObservation(env)
        env = gym.wrappers.TransformObservation(env, lambda obs: np.clip(obs, -10, 10), env.observation_space)
        env = gym.wrappers.NormalizeReward(env, gamma=work.arguments["gamma"])
        env = gym.wrappers.TransformReward(env, lambda reward: float(np.clip(reward, -10, 10)))
    return env


def _atari(work: Workload) -> gym.Env[Any, Any]:
    """Return the game with the usual preprocessing; its frames come first on the axes of an observation."""
    know_atari()
    env: gym.Env[Any, Any] = AtariWrapper(gym.wrappers.RecordEpisodeStatistics(gym.make(work.env)))
    height, width, _ = env.observation_space.shape or ()
    return gym.wrappers.FrameStackObservation(gym.wrappers.ReshapeObservation(env, (height, width)), FRAMES)


def last_observations(obs: Any, infos: dict[str, Any], ended: Any) -> Any:
    """Return observations in which those of ended episodes are their last, not the first of the next."""
    if not ended.any():
        return obs
    real = obs.copy()
    for place in np.flatnonzero(ended):
        real[place] = infos["final_obs"][place]
    return real
