"""Steps of environments that run one after another: the numbers of SB3's `DummyVecEnv`, sooner.

SB3 copies all that the environments say of a step by `deepcopy`, number by number. Here only what can change later is
copied.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv

Array = NDArray[Any]

_FIXED = (bool, int, float, str, type(None), np.float64, np.float32, np.int64, np.int32, np.bool_)
"""What never changes once it is made, so that a copy is as good as the thing itself."""


def step(env: DummyVecEnv, actions: Array) -> tuple[Any, Array, Array, list[dict[str, Any]]]:
    """Step each environment, as `DummyVecEnv.step` does."""
    if not isinstance(env.observation_space, spaces.Box):
        return env.step(actions)
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
