"""Rollouts fit the budget, and overrides are arguments that there are."""

from __future__ import annotations

from typing import Any

import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import DDPG, TD3

from acclimate.agents.load import load
from acclimate.errors import ConfigError
from acclimate.planning.arguments import (
    MANY,
    MINIBATCH,
    checked_overrides,
    rollout_length,
    rollout_steps,
    trainable_algorithm,
    whole_rollouts,
)
from acclimate.planning.recipe import Recipe
from tests.tiny import World


@given(steps=st.integers(16, 300_000), n_envs=st.sampled_from([1, 2, 3, 4, 8]))
def test_rollouts_never_exceed_the_budget_and_waste_little(steps: int, n_envs: int) -> None:
    length = rollout_length(steps, n_envs)
    used = whole_rollouts(steps, n_envs, length)
    assert 0 < used <= steps
    assert used % (length * n_envs) == 0
    if steps >= 4_096:
        assert used >= 0.85 * steps
        assert length * n_envs % MINIBATCH == 0 or steps >= MANY * 2_048
        assert length * n_envs <= 2 * 2_048


def test_a_rollout_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"leaves 100 .* 64 steps in each of 2 .* 128"):
        whole_rollouts(100, 2, 64)


@pytest.mark.parametrize(
    ("algorithm", "arguments", "length"),
    [
        ("ppo", {"n_steps": 7}, 7),
        ("ppo", {}, 2_048),
        ("a2c", {}, 5),
        ("dqn", {}, 4),
        ("sac", {"train_freq": [64, "step"]}, 64),
        ("td3", {"train_freq": (1, "episode")}, 1),
    ],
)
def test_the_steps_between_updates(algorithm: str, arguments: dict[str, Any], length: int) -> None:
    assert rollout_steps(algorithm, arguments) == length


@pytest.mark.parametrize(
    ("name", "said"),
    [("gama", "PPO has no argument `gama`. Did you mean `gamma`?"), ("seed", "recipe itself"), ("tau", "no argument")],
)
def test_overrides_are_checked(name: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked_overrides("ppo", {name: 1})
    assert said in str(caught.value)
    checked_overrides("ppo", {"gamma": 0.9})


@pytest.mark.parametrize("kind", [TD3, DDPG])
def test_an_action_without_axes_has_no_noise(kind: type) -> None:
    flat, lone = spaces.Box(-1.0, 1.0, (2,)), spaces.Box(-1.0, 1.0, ())
    agent = load(kind("MlpPolicy", World(flat, lone), policy_kwargs={"net_arch": [4]}, buffer_size=10, device="cpu"))
    with pytest.raises(ConfigError, match="TransformAction"):
        trainable_algorithm(agent, Recipe())
