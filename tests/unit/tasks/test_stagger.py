"""Environments of a vector are brought out of step once, and run their full time afterwards."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from acclimate.tasks.stagger import Staggered, first_episode, time_limit
from acclimate.tasks.task import Task


def ends(env: gym.Env, steps: int) -> list[int]:
    """Return the steps at which episodes were truncated."""
    env.reset(seed=0)
    found = []
    for step in range(1, steps + 1):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        assert not terminated
        if truncated:
            found.append(step)
            env.reset()
    return found


def test_only_the_first_episode_is_cut() -> None:
    pendulum = gym.make("Pendulum-v1", max_episode_steps=10)
    assert ends(Staggered(pendulum, 3), 25) == [3, 13, 23]


def test_an_episode_that_ends_before_its_cut_is_not_cut_later() -> None:
    pendulum = gym.make("Pendulum-v1", max_episode_steps=4)
    assert ends(Staggered(pendulum, 6), 12) == [4, 8, 12]


@pytest.mark.parametrize(
    ("n", "limit", "lengths"),
    [(4, 1000, [250, 500, 750, None]), (1, 1000, [None]), (3, 10, [4, 7, None]), (2, None, [None, None])],
)
def test_first_episodes_divide_the_time_limit(n: int, limit: int | None, lengths: list[int | None]) -> None:
    assert [first_episode(i, n, limit) for i in range(n)] == lengths


def test_the_limit_is_found_below_other_wrappers() -> None:
    assert time_limit(gym.wrappers.ClipAction(gym.make("Pendulum-v1", max_episode_steps=7))) == 7
    assert time_limit(gym.make("Pendulum-v1").unwrapped) is None


@pytest.mark.parametrize("stagger", [True, False])
def test_a_vector_is_out_of_step_only_where_it_is_asked_for(stagger: bool) -> None:
    """Four pendulums of 200 steps are first truncated at 50, 100, 150 and 200 steps; else all at 200."""
    venv = Task("Pendulum-v1").vector(4, seed=0, stagger=stagger)
    venv.reset()
    first = np.zeros(4, dtype=int)
    for step in range(1, 201):
        _, _, dones, infos = venv.step(np.zeros((4, 1)))
        for i in np.flatnonzero(dones):
            assert infos[i]["TimeLimit.truncated"], "the value after a cut is bootstrapped, as after a time limit"
            first[i] = first[i] or step
    venv.close()
    assert first.tolist() == ([50, 100, 150, 200] if stagger else [200] * 4)
