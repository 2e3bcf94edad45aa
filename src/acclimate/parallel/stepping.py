"""Steps of vectors of environments: the numbers of SB3's `DummyVecEnv` and `VecNormalize`, sooner.

SB3 normalises by general-purpose means; here every operation is the same one on the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecNormalize, VecTransposeImage

from acclimate.parallel.serial import step
from acclimate.parallel.vector import ForkedVecEnv

Array = NDArray[Any]
_Stepped = tuple[Any, Array, Array, list[dict[str, Any]]]
Step = Callable[[Array], _Stepped]


def stepping(env: VecEnv) -> Step:
    """Return what steps an environment: this module's own steps for SB3's own classes, else the environment's."""
    if not isinstance(env.observation_space, spaces.Box):
        return env.step
    if type(env) is VecNormalize and type(env.venv) in (DummyVecEnv, ForkedVecEnv):
        inner = stepping(env.venv)
        return lambda actions: _normalised(env, *inner(actions))
    if type(env) in (VecFrameStack, VecTransposeImage):
        beneath = stepping(env.venv)
        after = _stacked if type(env) is VecFrameStack else _transposed
        return lambda actions: after(env, *beneath(actions))
    if type(env) is DummyVecEnv:
        return lambda actions: step(env, actions)
    return env.step


def _stacked(env: VecFrameStack, obs: Array, rewards: Array, dones: Array, infos: list[dict[str, Any]]) -> _Stepped:
    """Put frames together, as `VecFrameStack.step_wait` does."""
    obs, infos = env.stacked_obs.update(obs, dones, infos)
    return obs, rewards, dones, infos


def _transposed(
    env: VecTransposeImage, obs: Array, rewards: Array, dones: Array, infos: list[dict[str, Any]]
) -> _Stepped:
    """Put channels first, as `VecTransposeImage.step_wait` does."""
    for place in np.flatnonzero(dones):
        if "terminal_observation" in infos[place]:
            infos[place]["terminal_observation"] = env.transpose_observations(infos[place]["terminal_observation"])
    return env.transpose_observations(obs), rewards, dones, infos


def _normalised(
    env: VecNormalize, obs: Array, rewards: Array, dones: Array, infos: list[dict[str, Any]]
) -> tuple[Any, Array, Array, list[dict[str, Any]]]:
    """Normalise a step, as `VecNormalize.step_wait` does."""
    env.old_obs, env.old_reward = obs, rewards
    if env.training and env.norm_obs:
        _take_in(env.obs_rms, obs)  # type: ignore[arg-type]
    if env.training:
        env.returns = env.returns * env.gamma + rewards
        _take_in(env.ret_rms, env.returns)
    for place in np.flatnonzero(dones):
        if "terminal_observation" in infos[place]:
            infos[place]["terminal_observation"] = env.normalize_obs(infos[place]["terminal_observation"])
    env.returns[dones] = 0
    return _observations(env, obs), env.normalize_reward(rewards), dones, infos


def _observations(env: VecNormalize, obs: Array) -> Array:
    """Return observations as `VecNormalize.normalize_obs` does."""
    if not env.norm_obs:
        return obs.copy()
    rms, most = env.obs_rms, env.clip_obs
    scaled = (obs - rms.mean) / np.sqrt(rms.var + env.epsilon)  # type: ignore[union-attr]
    return np.minimum(np.maximum(scaled, -most), most).astype(np.float32)


def _take_in(rms: RunningMeanStd, values: Array) -> None:
    """Update running statistics as `RunningMeanStd.update` does, with the sums that numpy's mean and var make."""
    if type(rms) is not RunningMeanStd or "update" in vars(rms):
        rms.update(values)
        return
    rows = len(values)
    mean = np.add.reduce(values, axis=0) / rows
    away = values - mean
    rms.update_from_moments(mean, np.add.reduce(away * away, axis=0) / rows, rows)
