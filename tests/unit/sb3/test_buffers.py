"""Buffers of a model without an environment take no memory until something is stored."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.buffers import ReplayBuffer

import acclimate as ac
from acclimate.sb3.buffers import unset
from tests import tiny


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


def test_a_buffer_of_another_class_keeps_what_it_holds() -> None:
    class Ranked(ReplayBuffer):
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **more)
            self.priorities = np.ones((self.buffer_size, 1))

    ranked = Ranked(50, tiny.BOX, tiny.CHOICE)
    unset(ranked)
    assert ranked.priorities.all()
    assert ranked.observations.base is None
