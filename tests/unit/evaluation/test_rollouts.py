"""Steps of the prior as tensors, the same each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from acclimate.errors import TaskError
from acclimate.evaluation.rollouts import collect
from tests.world import Dot, agent, task


@pytest.mark.parametrize("name", ["ppo", "sac", "dqn"])
def test_steps_are_repeatable_and_in_the_networks_own_units(name: str) -> None:
    given = agent(name, normalize=name == "ppo")
    if name == "dqn":
        given.model.exploration_rate = 0.5
    trace: list[Any] = []
    state = np.random.get_state()[1].copy()
    first = collect(given, task(name, trace=trace), 20, seed=9)
    assert np.array_equal(state, np.random.get_state()[1]), "it draws from the caller's numbers"
    second = collect(given, task(name), 20, seed=9)
    for field in ("observations", "actions", "rewards", "next_observations", "dones"):
        assert torch.equal(getattr(first, field), getattr(second, field))
        assert len(getattr(first, field)) == 20
    ((_, actions),) = trace
    scale = 2.0 if name == "sac" else 1.0
    assert first.actions.numpy() * scale == pytest.approx(np.stack(actions), abs=1e-6)
    assert not first.dones.any(), "a time limit is no terminal state"
    if name == "ppo":
        raw = (
            first.observations * np.sqrt(given.normalizer.obs_var + given.normalizer.epsilon)
            + given.normalizer.obs_mean
        )
        assert raw[:, 1].numpy() == pytest.approx(1.0, abs=1e-3)


class Broken(Dot):
    def step(self, action: Any) -> Any:
        raise ZeroDivisionError("pole at zero")


def test_an_environment_that_raises_is_named() -> None:
    from acclimate.tasks.task import Task

    with pytest.raises(TaskError, match=r"Broken, episode 0 \(seed 0\), step 1, raised ZeroDivisionError"):
        collect(agent("ppo"), Task(Broken), 5, seed=0)
