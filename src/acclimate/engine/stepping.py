"""Steps of environments that run one after another: the numbers of SB3's `DummyVecEnv` and `VecNormalize`, sooner.

SB3 copies all that the environments say of a step by `deepcopy`, number by number, and normalises by general-purpose
means. Here only what can change later is copied, and every other operation is the same one on the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

Array = NDArray[Any]
Step = Callable[[Array], tuple[Any, Array, Array, list[dict[str, Any]]]]

_FIXED = (bool, int, float, str, type(None), np.float64, np.float32, np.int64, np.int32, np.bool_)
"""What never changes once it is made, so that a copy is as good as the thing itself."""


def stepping(env: VecEnv) -> Step:
    """Return what steps an environment: this module's own steps for SB3's own classes, else the environment's."""
    if type(env) is VecNormalize and type(env.venv) is DummyVecEnv and isinstance(env.observation_space, spaces.Box):
        inner = env.venv
        return lambda actions: _normalised(env, *_step(inner, actions))
    if type(env) is DummyVecEnv and isinstance(env.observation_space, spaces.Box):
        return lambda actions: _step(env, actions)
    return env.step


def _step(env: DummyVecEnv, actions: Array) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
    """Step each environment, as `DummyVecEnv.step` does."""
    env.step_async(actions)
    seen = env.buf_obs[None]  # type: ignore[index]
    for place, one in enumerate(env.envs):
        obs, reward, terminated, truncated, info = one.step(actions[place])
        done = terminated or truncated
        env.buf_rews[place], env.buf_dones[place], env.buf_infos[place] = reward, done, info  # type: ignore[call-overload]
        info["TimeLimit.truncated"] = truncated and not terminated
        if done:
            info["terminal_observation"] = obs
            obs, env.reset_infos[place] = one.reset()
        seen[place] = obs
    infos = [{k: v if type(v) in _FIXED else deepcopy(v) for k, v in info.items()} for info in env.buf_infos]
    return seen.copy(), env.buf_rews.copy(), env.buf_dones.copy(), infos


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
