"""Who has the cores while an agent is trained."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from acclimate.engine.threads import beside
from acclimate.parallel.vector import ForkedVecEnv
from acclimate.tasks.task import Task


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    """Torch has three threads meanwhile, however many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def forked(shares: int) -> VecFrameStack:
    """Return environments in several processes, this one included, behind a wrapper."""
    return VecFrameStack(ForkedVecEnv([Task("CartPole-v1").make] * 4, shares), 2)


@pytest.mark.parametrize(("shares", "left"), [(2, 2), (3, 1), (4, 1)])
def test_torch_leaves_a_core_to_each_process_that_steps_environments(shares: int, left: int) -> None:
    env = forked(shares)
    try:
        with beside(env):
            assert torch.get_num_threads() == left
        assert torch.get_num_threads() == 3
    finally:
        env.close()


def test_torch_keeps_its_threads_where_no_other_process_steps_environments() -> None:
    env = DummyVecEnv([Task("CartPole-v1").make] * 2)
    with beside(env):
        assert torch.get_num_threads() == 3


def test_processes_of_sb3_count_too() -> None:
    env: Any = SimpleNamespace(unwrapped=SimpleNamespace(processes=[object()]))
    with beside(env):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 3
