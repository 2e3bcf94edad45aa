"""Buffers of a model without an environment take no memory until something is stored."""

from __future__ import annotations

import mmap

import numpy as np
import pytest
from tests import tiny

import acclimate as ac
from acclimate.idle import SMALL, untouched


@pytest.mark.parametrize("name", ["sac", "dqn"])
def test_an_idle_agent_holds_no_replay_storage(name: str) -> None:
    agent = ac.load(tiny.model(name, steps=0, buffer_size=50_000))
    buffer = agent.model.replay_buffer
    assert buffer.buffer_size == agent.model.buffer_size == 50_000
    for part in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
        stored = getattr(buffer, part)
        assert len(stored) == 50_000
        assert isinstance(stored.base, mmap.mmap), f"{part} is set aside by numpy, which may write it"
    assert isinstance(agent.copy().model.replay_buffer.observations.base, mmap.mmap)


def test_an_idle_buffer_takes_steps_and_gives_them_back() -> None:
    agent = ac.load(tiny.model("dqn", steps=0, buffer_size=50_000))
    agent.model.set_env(tiny.model("dqn", steps=0).get_env())
    agent.model.learn(40)
    assert agent.model.replay_buffer.size() == 40
    assert agent.model.replay_buffer.sample(8).observations.shape[0] == 8


def test_untouched_arrays_are_zero_and_can_be_written() -> None:
    for length in (4, SMALL):
        array = untouched((length, 1, 2), np.dtype(np.float32))
        assert array.shape == (length, 1, 2)
        assert not array.any()
        array[-1] = 3.0
        assert array.sum() == 6.0
