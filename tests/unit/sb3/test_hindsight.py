"""Hindsight as data, and the episodes of a buffer that was filled from a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer

from acclimate.errors import ConfigError
from acclimate.sb3.hindsight import Hindsight, can_draw, find_episodes
from tests.tiny import BOX, GOAL, REACH

FIELDS = ("ep_start", "ep_length", "_current_ep_start")


def filled(lengths: list[list[int]], size: int) -> HerReplayBuffer:
    """Return a buffer of two environments with episodes of these lengths; the last one of each may be open."""
    buffer = HerReplayBuffer(size * 2, GOAL, REACH, env=None, device="cpu", n_envs=2)
    steps = max(sum(each) for each in lengths)
    ends = [set(np.cumsum(each)) for each in lengths]
    seen = {key: np.zeros((2, *space.shape), np.float32) for key, space in GOAL.spaces.items()}
    for step in range(1, steps + 1):
        seen["achieved_goal"][:] = step
        done = np.array([step in each for each in ends])
        buffer.add(seen, seen, np.zeros((2, 2)), np.zeros(2), done, [{}, {}])
    return buffer


def emptied(buffer: HerReplayBuffer) -> HerReplayBuffer:
    buffer.ep_start[:], buffer.ep_length[:], buffer._current_ep_start[:] = 7, 0, 3
    return buffer


@pytest.mark.parametrize(
    ("lengths", "size"),
    [([[3, 4], [7]], 10), ([[3, 4], [2, 5]], 7), ([[1, 1, 5], [6, 1]], 20)],
    ids=["room", "brim", "single"],
)
def test_whole_episodes_are_found_as_sb3_counted_them(lengths: list[list[int]], size: int) -> None:
    expected, found = filled(lengths, size), emptied(filled(lengths, size))
    find_episodes(found)
    whole = expected.ep_length > 0
    # Of a full buffer the first one may be the rest of an episode, which nobody can tell.
    if expected.full:
        whole[: max(each[0] for each in lengths)] = False
    for name in FIELDS[:2]:
        assert np.array_equal(getattr(found, name)[whole], getattr(expected, name)[whole]), name
    assert np.array_equal(found._current_ep_start, expected._current_ep_start)
    assert not found.timeouts.any()


def test_an_open_episode_is_cut_off_where_it_stands() -> None:
    """Environments begin new episodes when a run is resumed: the goals of one are none of the other."""
    buffer = emptied(filled([[3, 4], [7]], 10))
    buffer.dones[6, 0] = False  # open in the first environment
    find_episodes(buffer)
    assert buffer.ep_length[:7, 0].tolist() == [3, 3, 3, 4, 4, 4, 4]
    assert buffer.ep_length[:7, 1].tolist() == [7] * 7
    assert buffer.timeouts[6].tolist() == [True, False], "an end by time, which is no end of what is to come"
    assert buffer._current_ep_start.tolist() == [7, 7]


def test_what_is_left_of_an_overwritten_episode_is_not_drawn() -> None:
    """Ten places, episodes of four: the ninth to twelfth step overwrite the first two places."""
    buffer = emptied(filled([[4, 4, 4], [4, 4, 4]], 10))
    assert (buffer.full, buffer.pos) == (True, 2)
    find_episodes(buffer)
    assert buffer.ep_length[:, 0].tolist() == [4, 4, 0, 0, 4, 4, 4, 4, 4, 4]
    assert buffer.ep_start[[0, 1, 8, 9], 0].tolist() == [8] * 4
    goals = {float(buffer._sample_goals(np.array([9]), np.array([0]))[0, 0]) for _ in range(50)}
    assert goals == {10.0, 11.0, 12.0}, "goals that were reached later in the same episode"


def test_other_buffers_are_left_alone() -> None:
    find_episodes(None)
    assert can_draw(None)
    assert not can_draw(HerReplayBuffer(10, GOAL, REACH, env=None, device="cpu"))
    assert can_draw(filled([[3], [3]], 10))


@pytest.mark.parametrize(
    ("kwargs", "wrong"),
    [
        ({"n_sampled_goal": -1}, "n_sampled_goal"),
        ({"n_sampled_goal": 10**6}, "n_sampled_goal"),
        ({"n_sampled_goal": "many"}, "n_sampled_goal"),
        ({"goal_selection_strategy": "best"}, "goal_selection_strategy"),
        ({"copy_info_dict": "perhaps"}, "copy_info_dict"),
    ],
)
def test_what_the_buffer_does_not_take_is_refused(kwargs: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        Hindsight.of(kwargs, GOAL, "here")


def test_what_it_has_no_more_is_left_out_and_without_goals_there_is_none() -> None:
    assert Hindsight.of({"online_sampling": True, "n_sampled_goal": 2}, GOAL, "here") == Hindsight(n_sampled_goal=2)
    assert Hindsight.of({}, BOX, "here") is None
    assert Hindsight.of({}, spaces.Dict(observation=BOX), "here") is None
