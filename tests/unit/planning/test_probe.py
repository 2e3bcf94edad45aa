"""The probe looks, pays for it and leaves the random numbers alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from acclimate.agents.agent import Agent
from acclimate.evaluation.seeds import PROBE_SEED
from acclimate.evaluation.transitions import Transitions
from acclimate.planning.case import Case
from acclimate.planning.probe import ENTROPY_STEPS, OPEN_ENTROPY, Situation, probe
from acclimate.tasks.task import Task
from tests.world import agent, linear, observations, recipe, task, weights


@pytest.mark.parametrize(
    ("source", "target", "random", "retained"),
    [
        (10.0, 6.0, 2.0, 0.5),
        (10.0, 1.0, 2.0, 0.0),
        (10.0, 12.0, 2.0, 1.0),
        (2.0, 1.0, 2.0, None),
        (None, 1.0, 2.0, None),
    ],
)
def test_the_share_of_skill_that_is_left(source: Any, target: Any, random: Any, retained: float | None) -> None:
    assert Situation(source_return=source, target_return=target, random_return=random).retained == retained


def looked(
    given: Agent,
    target: Task,
    source: Task | None,
    *,
    episodes: int,
    steps: int = 10_000,
    record: Transitions | None = None,
) -> Situation:
    asked = recipe(steps=steps, warm_start={"probe_episodes": episodes})
    return probe(Case(given, target, source, asked), record=record)


def test_it_counts_the_steps_of_the_target_alone() -> None:
    trace: list[Any] = []
    found = looked(linear(-2.0), task(offset=1.0, trace=trace), task(), episodes=3)
    assert found.steps == 24 == sum(len(actions) for _, actions in trace)
    assert {seed for seed, _ in trace} == {PROBE_SEED, PROBE_SEED + 1, PROBE_SEED + 2}
    assert found.std == pytest.approx(0.3)
    assert found.target_length == found.source_length == 8
    assert found.target_return < found.source_return
    assert found.random_return < found.source_return
    assert found.entropy is None


def test_nothing_is_looked_at_without_episodes() -> None:
    assert looked(linear(-2.0), task(), task(), episodes=0) == Situation(std=pytest.approx(0.3))


def test_the_temperature_opens_the_softmax_to_the_wanted_entropy() -> None:
    given = agent("ppo", discrete=True)
    with torch.no_grad():
        given.model.policy.action_net.weight.mul_(500)
    before = weights(given)
    found = looked(given, task("dqn"), None, episodes=1)
    assert found.entropy < OPEN_ENTROPY
    assert found.steps == 8 + ENTROPY_STEPS
    assert found.retained is None
    logits = given.model.policy.get_distribution(torch.as_tensor(observations())).distribution.logits
    assert torch.distributions.Categorical(logits=logits / found.temperature).entropy().mean() > 0.1
    assert all(torch.equal(before[name], value) for name, value in weights(given).items())


def test_random_numbers_go_on_as_if_it_had_not_been() -> None:
    given = agent("ppo", discrete=True)
    np.random.seed(1)
    torch.manual_seed(1)
    looked(given, task("dqn"), task("dqn"), episodes=2)
    after = np.random.rand(), torch.rand(1).item()
    np.random.seed(1)
    torch.manual_seed(1)
    assert after == (np.random.rand(), torch.rand(1).item())


def test_long_episodes_are_fewer_where_the_budget_is_small() -> None:
    """Episodes of 8 steps: a twentieth of 640 steps is 32 of them, that of 320 is 16, and one is always played."""
    given = linear(-2.0)
    played = [looked(given, task(), None, episodes=4, steps=steps) for steps in (10_000, 640, 320, 10)]
    assert [found.episodes for found in played] == [4, 4, 2, 1]
    assert [found.steps for found in played] == [32, 32, 16, 8]


def test_the_targets_steps_are_kept_where_they_are_asked_for() -> None:
    given, record = agent("sac"), Transitions()
    found = looked(given, task("sac"), task("sac"), episodes=2, record=record)
    assert len(record) == found.steps == 16, "steps of the source world are among them"
