"""Steps of environments against SB3's own, to the bit."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from acclimate.parallel.stepping import stepping

NORMALISED: dict[str, dict[str, Any] | None] = {
    "plain": None,
    "normalised": {"gamma": 0.9, "clip_obs": 1.5},
    "rewards-only": {"norm_obs": False},
    "observations-only": {"norm_reward": False},
    "held": {"training": False},
}


def _env(name: str, n: int, options: dict[str, Any] | None) -> Any:
    def one() -> gym.Env:
        return Monitor(gym.make(name, max_episode_steps=7))

    env: Any = DummyVecEnv([one for _ in range(n)])
    env.seed(0)
    return env if options is None else VecNormalize(env, **options)


def assert_same_step(one: Any, other: Any) -> None:
    """Observations, rewards, ends and all that is said, but for the time that an episode took."""
    for a, b in zip(one[:3], other[:3], strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)
    for a, b in zip(one[3], other[3], strict=True):
        assert a.keys() == b.keys()
        for key in a.keys() - {"episode"}:
            assert np.array_equal(a[key], b[key])


@pytest.mark.parametrize("options", NORMALISED)
@pytest.mark.parametrize(("name", "n"), [("CartPole-v1", 3), ("Pendulum-v1", 1), ("HalfCheetah-v5", 2)])
def test_steps_are_those_of_sb3(name: str, n: int, options: str) -> None:
    theirs, ours = (_env(name, n, NORMALISED[options]) for _ in range(2))
    step = stepping(ours)
    assert np.array_equal(theirs.reset(), ours.reset())
    theirs.action_space.seed(0)
    for _ in range(30):
        actions = np.array([theirs.action_space.sample() for _ in range(n)])
        one, other = theirs.step(actions), step(actions)
        assert_same_step(one, other)
        if options == "plain":
            continue
        assert np.array_equal(theirs.get_original_obs(), ours.get_original_obs())
        assert np.array_equal(theirs.get_original_reward(), ours.get_original_reward())
        assert theirs.ret_rms.var == ours.ret_rms.var
        if theirs.norm_obs:
            assert np.array_equal(theirs.obs_rms.mean, ours.obs_rms.mean)
            assert np.array_equal(theirs.obs_rms.var, ours.obs_rms.var)


def test_what_an_environment_keeps_is_copied() -> None:
    class Keeping(gym.Wrapper):
        def step(self, action: Any) -> Any:
            obs, reward, terminated, truncated, info = self.env.step(action)
            self.kept = info["kept"] = [1]
            return obs, reward, terminated, truncated, info

    env = DummyVecEnv([lambda: Keeping(gym.make("CartPole-v1"))])
    env.reset()
    obs, _, _, infos = stepping(env)(np.array([0]))
    env.envs[0].kept.append(2)  # type: ignore[attr-defined]
    env.buf_obs[None][...] = 7  # type: ignore[index]
    assert infos[0]["kept"] == [1]
    assert not np.any(obs == 7)


def test_other_environments_step_themselves() -> None:
    class Own(DummyVecEnv):
        pass

    env = Own([lambda: gym.make("CartPole-v1")])
    assert stepping(env) == env.step
