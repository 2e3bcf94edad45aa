"""Fitting: the promise on false alarms, its seed, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from acclimate.errors import ConfigError
from acclimate.guard.fitting import fit
from acclimate.guard.guarded import Guarded
from acclimate.guard.tiers.reasons import Reason
from acclimate.guard.trials.measuring import measure
from tests import tiny
from tests.unit.guard.world import ALL, agent, fitted, random_world, task


def test_the_limits_are_those_of_the_second_half() -> None:
    """Of 20 episodes' largest scores the ceil(21 * .9) = 19th is the limit, which one of them passes."""
    guard = fit(agent(), task(), episodes=40, alarms=0.3, seed=50)
    found = measure(Guarded(agent(), guard), task(), episodes=20, fault_episodes=1, faults=(), seed=50 + 20)
    assert found.by_tier == {"not_finite": 0, "bounds": 1, "rate": 1, "mahalanobis": 1}


def test_false_alarms_of_new_episodes_are_as_asked() -> None:
    guard = fitted("bounds", "rate", "mahalanobis", "sequence", episodes=200, alarms=0.2)
    found = measure(Guarded(agent(), guard), task(), episodes=150, fault_episodes=1, faults=())
    assert found.false_alarms.low <= 0.2, found
    assert found.false_alarms.value > 0.0, "limits that are never passed are too high"
    assert sum(found.by_tier.values()) >= round(150 * found.false_alarms.value)


def test_one_seed_one_guard_and_another_another() -> None:
    first, again, other = (fit(agent(), task(), episodes=20, alarms=0.5, seed=seed) for seed in (7, 7, 8))
    pairs = [(first.filter.state_dict(), each.filter.state_dict()) for each in (again, other)]
    same = [all(torch.equal(one[name], two[name]) for name in one) for one, two in pairs]
    assert same == [True, False]


def test_how_many_run_side_by_side_changes_rounding_alone() -> None:
    one, eight = (fit(agent(), task(), episodes=20, alarms=0.5, n_envs=n).filter for n in (1, 8))
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, eight.state_dict()[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"episodes": 117}, "give 118 at least"),  # 3 tiers: 59 calibrate
        ({"episodes": 317, "tiers": ALL}, "give 318 at least"),
        ({"alarms": 0.0}, "between 0 and 1"),
        ({"alarms": float("nan")}, "between 0 and 1"),
        ({"tiers": ("bouns",)}, "Did you mean `bounds`?"),
        ({"window": 1}, "give 2 to 1000"),
        ({"window": 500, "tiers": ("statistics",)}, "give a shorter one"),
        ({"fallback": "panic"}, "there are hold, safe, other"),
        ({"seed": -1}, "whole number"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        fit(agent(), task(), **{"episodes": 130, **asked})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_inside_of_a_policy_that_remembers_is_refused() -> None:
    made, world = random_world("recurrent_ppo")
    with pytest.raises(ConfigError, match="depends on what it remembers"):
        fit(made, world, episodes=20, alarms=0.5, tiers=["latent"])


def test_choices_have_no_distances() -> None:
    made, world = random_world("a2c")
    assert fit(made, world, episodes=20, alarms=0.5).filter.reasons == (Reason.NOT_FINITE, Reason.BOUNDS)
    with pytest.raises(ConfigError, match="the observations are choices"):
        fit(made, world, episodes=20, alarms=0.5, tiers=["rate"])


@pytest.mark.parametrize("name", list(tiny.MODELS))
def test_every_agent_is_guarded(name: str) -> None:
    """Each algorithm and space: fitted, acting, and what is out of the space refused."""
    made, world = random_world(name)
    guard = fit(made, world, episodes=10, alarms=0.9)
    guarded, seen = Guarded(made, guard), tiny.observations(world.observation_space, 4, seed=5)
    memory, starts = guarded.initial(4), np.ones(4, bool)
    actions, decision, memory = guarded.predict(seen, memory, starts)
    assert all(world.action_space.contains(action) for action in np.asarray(actions).astype(world.action_space.dtype))
    assert decision.flags.shape == (4, len(guard.filter.reasons))
    if world.observation_space.dtype == np.uint8:
        return  # every picture is one
    parts = seen if isinstance(seen, dict) else {"": seen}
    moved = {key: part + np.asarray(100, part.dtype) for key, part in parts.items()}
    wrong = moved if isinstance(seen, dict) else moved[""]
    before = guard.layout.rows(seen)
    _, decision, after = guarded.predict(wrong, memory)
    assert decision.flags[:, 1].all(), "`bounds`"
    trusted = after.guard["observation"].numpy()
    assert (trusted[~decision.flags.any(1)] == before[~decision.flags.any(1)]).all()
    assert (np.abs(trusted) <= np.abs(before).max() + 1).all()


@pytest.mark.parametrize("name", ["ppo", "ppo-cnn", "sac", "td3", "dqn", "qrdqn", "tqc", "crossq", "her", "a2c"])
def test_the_inside_of_every_policy_is_read(name: str) -> None:
    made, world = random_world(name)
    guard = fit(made, world, episodes=10, alarms=0.9, tiers=["latent"])
    seen = tiny.observations(world.observation_space, 3)
    _, decision, _ = Guarded(made, guard).predict(seen, Guarded(made, guard).initial(3))
    assert np.isfinite(decision.scores).all()
    assert decision.scores[:, 1].max() > 0
