"""The arithmetic of VecNormalize, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from acclimate.errors import SourceError
from acclimate.sb3.normalizer import Normalizer
from tests import tiny

finite = st.floats(-1e6, 1e6)
positive = st.floats(0, 1e6)


def wrapped(name: str, **options: object) -> VecNormalize:
    return VecNormalize(DummyVecEnv([lambda: tiny.world(name)]), **options)


@given(
    mean=arrays(np.float64, 3, elements=finite),
    var=arrays(np.float64, 3, elements=positive),
    obs=arrays(np.float32, (4, 3), elements=st.floats(-1e5, 1e5, width=32)),
    clip=st.floats(0.5, 20),
)
def test_scaling_is_that_of_vec_normalize(mean: np.ndarray, var: np.ndarray, obs: np.ndarray, clip: float) -> None:
    vec = wrapped("ppo", clip_obs=clip)
    vec.obs_rms.mean, vec.obs_rms.var = mean, var
    ours = Normalizer.from_vec_normalize(vec)
    np.testing.assert_array_equal(ours.normalize_obs(obs), vec.normalize_obs(obs), strict=True)
    np.testing.assert_array_equal(ours.normalize_obs(obs[0]), vec.normalize_obs(obs[0]), strict=True)


def test_a_hand_computed_value() -> None:
    statistics = Normalizer(
        obs_mean=np.array([1.0, 2.0]), obs_var=np.array([4.0, 0.25]), obs_count=10.0,
        ret_mean=0.0, ret_var=1.0, ret_count=10.0, clip_obs=3.0, epsilon=0.0,
    )  # fmt: skip
    np.testing.assert_array_equal(statistics.normalize_obs(np.array([5.0, 9.0])), np.float32([2.0, 3.0]))


def test_dict_observations_leave_other_keys_alone() -> None:
    vec = wrapped("her", norm_obs_keys=["observation"])
    vec.obs_rms["observation"].mean[:] = 0.5
    ours = Normalizer.from_vec_normalize(vec)
    obs = tiny.observations(tiny.GOAL)
    theirs = vec.normalize_obs(obs)
    for key, value in ours.normalize_obs(obs).items():
        np.testing.assert_array_equal(value, theirs[key], strict=True)
    assert ours.normalize_obs(obs)["desired_goal"] is obs["desired_goal"]
    ours.check(tiny.GOAL, "here")


@pytest.mark.parametrize("name", ["ppo", "her"])
def test_there_and_back(name: str) -> None:
    vec = wrapped(name, gamma=0.7, clip_reward=4.0, epsilon=1e-4)
    vec.reset()
    for _ in range(10):
        vec.step(np.array([vec.action_space.sample()]))
    ours = Normalizer.from_vec_normalize(vec)
    again = ours.vec_normalize(DummyVecEnv([lambda: tiny.world(name)]), training=False, norm_reward=False)
    assert (again.training, again.norm_reward) == (False, False)
    assert (again.gamma, again.clip_reward, again.epsilon) == (0.7, 4.0, 1e-4)
    assert again.ret_rms.var == vec.ret_rms.var
    assert again.ret_rms.count == vec.ret_rms.count
    obs = tiny.observations(vec.observation_space)
    for key in obs if isinstance(obs, dict) else [...]:
        np.testing.assert_array_equal(again.normalize_obs(obs)[key], vec.normalize_obs(obs)[key])
    again.training = True
    again.reset()
    count = again.obs_rms["observation"].count if name == "her" else again.obs_rms.count
    assert count == pytest.approx(12.0, abs=0.01)
    assert ours.obs_count == Normalizer.from_vec_normalize(vec).obs_count


def test_identity_is_a_new_vec_normalize() -> None:
    for name in ("ppo", "her"):
        fresh, ours = (
            Normalizer.from_vec_normalize(wrapped(name)),
            Normalizer.identity(tiny.world(name).observation_space),
        )
        assert ours.shapes == fresh.shapes
        assert ours.obs_count == fresh.obs_count
        assert ours.norm_obs_keys == fresh.norm_obs_keys
    with pytest.raises(SourceError, match="Discrete space has no statistics"):
        Normalizer.identity(spaces.Discrete(3))


def test_rewards_only() -> None:
    vec = wrapped("a2c", norm_obs=False)
    ours = Normalizer.from_vec_normalize(vec)
    obs = np.array([1, 2])
    assert ours.normalize_obs(obs) is obs
    ours.check(spaces.Discrete(4), "here")
    again = ours.vec_normalize(DummyVecEnv([lambda: tiny.world("a2c")]), training=True, norm_reward=True)
    assert not again.norm_obs


def test_drift_counts_in_standard_deviations() -> None:
    ours, theirs = Normalizer.identity(tiny.BOX), Normalizer.identity(tiny.BOX)
    ours.obs_var[:] = 4.0
    theirs.obs_mean[:] = [2.0, -4.0, 0.0]
    theirs.obs_var[:] = [4.0, 16.0, 1.0]
    drift = ours.drift(theirs)
    assert drift.features == ("0", "1", "2")
    np.testing.assert_allclose(drift.mean_shift, [1.0, -2.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(drift.std_ratio, [1.0, 2.0, 0.5], atol=1e-6)
    goal = Normalizer.identity(tiny.GOAL)
    assert goal.drift(goal).features[:2] == ("observation[0]", "observation[1]")
    with pytest.raises(SourceError, match="cannot be compared"):
        ours.drift(goal)


def test_shapes_that_do_not_match() -> None:
    with pytest.raises(SourceError, match=r"shape \(3,\), not \(2,\)"):
        Normalizer.identity(tiny.BOX).check(tiny.REACH, "here")
    with pytest.raises(SourceError, match="this environment"):
        Normalizer.identity(tiny.REACH).vec_normalize(
            DummyVecEnv([lambda: tiny.world("ppo")]), training=True, norm_reward=True
        )
