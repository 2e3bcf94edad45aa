"""A workload as Stable-Baselines3 and SBX, which shares its shell, are given it."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize

from benchmarks.peers.gym_envs import FRAMES, know_atari
from benchmarks.peers.workload import Workload


def environments(work: Workload) -> VecEnv:
    """Return environments that run one after another, normalised or seen as images if the workload says so."""
    if work.images:
        know_atari()
        return VecFrameStack(make_atari_env(work.env, work.n_envs, seed=0), FRAMES)
    env = make_vec_env(work.env, work.n_envs, seed=0)
    return VecNormalize(env, gamma=work.arguments["gamma"]) if work.normalized else env


def make(work: Workload, algorithms: dict[str, type[Any]], activation: Any, env: VecEnv | None = None) -> Any:
    """Return a model of one of several algorithms by their names; activation is the function or class it takes."""
    return algorithms[work.algorithm](
        "CnnPolicy" if work.images else "MlpPolicy",
        env if env is not None else environments(work),
        device="cpu",
        seed=0,
        policy_kwargs={"net_arch": list(work.net_arch), "activation_fn": activation},
        **work.arguments,
    )
