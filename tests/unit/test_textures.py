"""Simulations that nobody looks at have no textures, and the physics of those that do."""

from __future__ import annotations

import sys

import gymnasium as gym
import numpy as np
import pytest

from acclimate import textures

pytest.importorskip("mujoco")


def _played(env: gym.Env) -> np.ndarray:
    env.reset(seed=3)
    env.action_space.seed(3)
    return np.array([env.step(env.action_space.sample())[0] for _ in range(50)])


@pytest.mark.skipif(sys.platform != "linux", reason="textures stay elsewhere")
def test_a_simulation_runs_on_without_its_textures() -> None:
    bare, whole = gym.make("Hopper-v5"), gym.make("Hopper-v5")
    textures.drop(bare)
    assert bare.unwrapped.model.tex_data[8192:-8192].max() == 0
    rest = {name for name in dir(whole.unwrapped.model) if name != "tex_data" and not name.startswith("_")}
    for name in rest:
        value = getattr(whole.unwrapped.model, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(bare.unwrapped.model, name), value)
    np.testing.assert_array_equal(_played(bare), _played(whole))


def test_what_is_drawn_keeps_its_textures() -> None:
    env = gym.make("Hopper-v5", render_mode="rgb_array")
    textures.drop(env)
    assert env.unwrapped.model.tex_data[8192:-8192].max() > 0


def test_other_environments_stay_as_they_are() -> None:
    textures.drop(gym.make("CartPole-v1"))
