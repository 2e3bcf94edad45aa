"""An agent behind its guard: nothing refused reaches it, and nothing forbidden leaves it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from acclimate.agents.load import load
from acclimate.errors import ConfigError, GuardRefusal
from acclimate.evaluation.evaluate import evaluate, play
from acclimate.guard.fitting import fit
from acclimate.guard.guarded import Guarded, GuardedPlayer
from acclimate.guard.permitting import permitted
from acclimate.guard.tiers.reasons import Reason
from acclimate.guard.trials.faults import Faulty, Sensors
from tests.tiny import World
from tests.unit.guard.world import agent, fitted, random_world, task

HOSTILE = [np.nan, np.inf, -np.inf, 1e38, -1e38, 1e300, 1e-40, -0.0, 5e-324, 2.0**31, -7.0]


class Spy:
    """An agent that remembers the largest number it saw, and whether all were finite."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.seen = inner, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def predict(self, obs: Any, *args: Any, **kwargs: Any) -> Any:
        self.seen.append(np.array(obs))
        return self.inner.predict(obs, *args, **kwargs)


def hostile(number: int, entries: int, seed: int = 0) -> np.ndarray:
    """Return observations of which half have hostile entries, in 64 bits as sensors give them."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(number, entries))
    hit = random.random(rows.shape) < 0.3
    return np.where(hit & (random.random((number, 1)) < 0.7), random.choice(HOSTILE, rows.shape), rows)


@pytest.mark.parametrize("fallback", ["hold", "safe", "other"])
def test_2000_hostile_observations_never_reach_the_policy(fallback: str) -> None:
    """Nor do the actions leave their bounds, whatever the other controller says."""
    guard = fit(agent(), task(), episodes=20, alarms=0.5, fallback=fallback, safe=[0.5, 0.1])
    other = Spy(agent())
    wild = (lambda obs: (other.predict(obs), np.full((len(obs), 2), np.nan))[1]) if fallback == "other" else None
    guarded = Guarded(agent(), guard, wild)
    guarded.agent = spy = Spy(agent())
    memory, space, refused = guarded.initial(8), task().action_space, 0
    for rows in hostile(2000, 3).reshape(-1, 8, 3):
        actions, decision, memory = guarded.predict(rows, memory)
        assert np.isfinite(actions).all()
        assert ((actions >= space.low) & (actions <= space.high)).all()
        refused += int(decision.flags.any(1).sum())
    assert 500 < refused < 1900
    for seen in (*spy.seen, *other.seen):
        assert np.isfinite(seen.astype(np.float32)).all()
        assert np.abs(seen).max() < 10
    assert (len(other.seen) > 0) == (fallback == "other")


def test_clean_observations_reach_the_agent_as_they_came() -> None:
    """Actions are the same to the bit, so that a guard that never refuses changes no return."""
    guard = fitted("bounds", "rate", "mahalanobis", episodes=130, alarms=0.05)
    alone = evaluate(agent(), task(), episodes=10, seed=3)
    player = GuardedPlayer(Guarded(agent(), guard))
    kept = play(player, task(), 10, 3, 8, True)
    assert np.array_equal(alone.returns, kept.returns)


def test_one_and_a_batch_are_told_apart() -> None:
    guarded = Guarded(agent(), fitted("bounds", "rate"))
    rows = np.zeros((1, 3), np.float32)
    action, _, memory = guarded.predict(rows[0], guarded.initial())
    batch, _, _ = guarded.predict(rows, guarded.initial(1))
    assert action.shape == (2,)
    np.testing.assert_array_equal(action, batch[0])
    assert memory.guard["action"].shape == (1, 2)


def test_hold_is_the_last_action_and_safe_the_safe_one() -> None:
    for fallback, wanted in (("hold", None), ("safe", [0.5, 0.1])):
        guard = fit(agent(), task(), episodes=20, alarms=0.5, fallback=fallback, safe=[0.5, 0.1])
        guarded = Guarded(agent(), guard)
        memory, bad = guarded.initial(), np.full(3, np.nan, np.float32)
        last, _, memory = guarded.predict(np.zeros(3, np.float32), memory)
        for step in range(1, 6):
            action, decision, memory = guarded.predict(bad, memory)
            assert Reason(int(decision.codes[0])) == Reason.NOT_FINITE
            assert decision.refusing[0] == (step >= 3)
        np.testing.assert_allclose(action, last if wanted is None else wanted, atol=1e-6)
        for step in range(1, 7):
            _, decision, memory = guarded.predict(np.zeros(3, np.float32), memory)
            assert decision.refusing[0] == (step < 5)


def test_the_other_agent_sees_what_is_strange_but_not_what_is_broken() -> None:
    guard = fit(agent(), task(), episodes=20, alarms=0.5, fallback="other", tiers=["bounds", "rate"])
    seen: list[np.ndarray] = []
    guarded = Guarded(agent(), guard, lambda obs: (seen.append(np.array(obs)), np.zeros((len(obs), 2)))[1])
    memory = guarded.initial()
    jump = np.array([3.0, -3.0, 3.0], np.float32) * 0.8
    for row in (np.zeros(3, np.float32), jump, np.array([np.nan, 0, 0], np.float32), np.array([1e6, 0, 0], np.float32)):
        _, decision, memory = guarded.predict(row, memory)
    assert decision.flags[0, 1]
    np.testing.assert_array_equal(seen[1][0], jump)
    np.testing.assert_array_equal(np.concatenate(seen[2:]), np.zeros((2, 3)))


def test_the_pretrained_agent_can_stand_in() -> None:
    guard = fit(agent(), task(), episodes=20, alarms=0.5, fallback="other")
    other, bad = random_world("ppo")[0], np.full(3, np.nan, np.float32)
    guarded = Guarded(agent(), guard, other)
    memory = guarded.initial()
    for _ in range(4):
        action, _, memory = guarded.predict(bad, memory)
    wanted, _ = other.predict(guard.filter.neutral.numpy()[None], deterministic=True)
    low, high = guard.action_space.low, guard.action_space.high
    np.testing.assert_allclose(action, wanted[0].clip(low, high), atol=1e-6)


def test_a_recurrent_agent_keeps_its_memory_and_loses_it_at_a_start() -> None:
    made, world = random_world("recurrent_ppo")
    guarded = Guarded(made, fit(made, world, episodes=10, alarms=0.9))
    player, rows = GuardedPlayer(guarded), [world.observation_space.low.clip(-1, 1)] * 2
    first = player.act(rows, np.array([True, True]), [None, None])
    second = player.act(rows, np.array([False, True]), [None, None])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], second[0])


def test_a_masked_agent_stays_within_its_mask() -> None:
    made, world = random_world("maskable_ppo")
    guarded = Guarded(made, fit(made, world, episodes=10, alarms=0.9, fallback="safe", safe=2))
    memory, bad = guarded.initial(2), np.full((2, 3), np.nan, np.float32)
    for _ in range(5):
        actions, decision, memory = guarded.predict(
            bad, memory, action_masks=np.array([[True, False, False], [False, True, True]])
        )
    assert decision.refusing.all()
    assert actions.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("space", "actions", "mask", "wanted"),
    [
        (spaces.Discrete(3, start=1), [[2], [3]], [[1, 0, 1], [1, 0, 1]], [False, True]),
        (spaces.MultiDiscrete([2, 3]), [[1, 2], [1, 0]], [[0, 1, 0, 0, 1], [0, 1, 0, 0, 1]], [True, False]),
        (spaces.MultiBinary(2), [[1, 0], [0, 0]], [[0, 1, 1, 0], [0, 1, 1, 0]], [True, False]),
    ],
)
def test_masks_of_every_space(space: spaces.Space, actions: Any, mask: Any, wanted: list[bool]) -> None:
    found = permitted(space, torch.tensor(actions, dtype=torch.float32), torch.tensor(mask, dtype=torch.bool))
    assert found.tolist() == wanted


def test_another_agents_guard_is_refused() -> None:
    other, _ = random_world("dqn")
    with pytest.raises(ConfigError, match="another agent's"):
        Guarded(other, fitted("bounds"))
    copy = agent().copy()
    copy.model.policy.action_net.bias.data += 1
    Guarded(copy, fitted("bounds", "rate"))
    with pytest.raises(ConfigError, match="inside of another policy"):
        Guarded(copy, fitted("bounds", "latent"))


@pytest.mark.parametrize(("fallback", "other"), [("hold", agent), ("other", None)])
def test_a_fallback_and_who_acts_then_belong_together(fallback: str, other: Any) -> None:
    guard = fit(agent(), task(), episodes=20, alarms=0.5, fallback=fallback)
    with pytest.raises(ConfigError, match="fallback"):
        Guarded(agent(), guard, other)


@pytest.mark.parametrize(("sees", "does"), [(4, 2), (3, 1)])
def test_an_other_agent_of_other_spaces_is_refused(sees: int, does: int) -> None:
    """Its actions would be taken for others, spread over rows and numbers."""
    guard = fit(agent(), task(), episodes=20, alarms=0.5, fallback="other")
    seen, done = (spaces.Box(-1, 1, (size,), np.float32) for size in (sees, does))
    other = load(agent().model.__class__("MlpPolicy", World(seen, done), n_steps=8))
    with pytest.raises(ConfigError, match="the other agent cannot act here"):
        Guarded(agent(), guard, other)


@pytest.mark.parametrize(
    "says", [lambda _: np.array([0.5, 0.1]), lambda obs: np.zeros(len(obs)), lambda _: None, lambda _: [["a", "b"]]]
)
def test_a_controller_gives_a_batch_of_actions(says: Any) -> None:
    guard = fit(agent(), task(), episodes=20, alarms=0.5, fallback="other")
    guarded = Guarded(agent(), guard, says)
    with pytest.raises(ConfigError, match=r"the controller's actions are .*\(1, 2\)"):
        guarded.predict(np.zeros(3, np.float32), guarded.initial())


@pytest.mark.parametrize(("rows", "starts"), [(1, None), (3, None), (2, [True]), (2, [True] * 3)])
def test_memory_and_starts_are_of_as_many_as_are_seen(rows: int, starts: Any) -> None:
    guarded = Guarded(agent(), fitted("bounds"))
    with pytest.raises(ConfigError, match="give as many of each"):
        guarded.predict(np.zeros((2, 3), np.float32), guarded.initial(rows), starts)


@pytest.mark.parametrize("wrong", [np.zeros(3), {}, {"x": np.zeros(3)}, {"observation": np.zeros(3)}, None])
def test_a_dict_that_is_none_is_refused(wrong: Any) -> None:
    made, world = random_world("her")
    guarded = Guarded(made, fit(made, world, episodes=10, alarms=0.9))
    with pytest.raises(GuardRefusal, match="of the observations are no batch of Box"):
        guarded.predict(wrong, guarded.initial())


@pytest.mark.parametrize("wrong", [np.zeros(4), np.zeros((2, 4)), "text", {"a": 1}])
def test_observations_of_another_shape_are_refused(wrong: Any) -> None:
    guarded = Guarded(agent(), fitted("bounds"))
    with pytest.raises(GuardRefusal, match="are no batch of Box"):
        guarded.predict(wrong, guarded.initial())


def test_a_spike_is_bridged() -> None:
    """What one broken reading does to the agent alone it does not do to the guarded one."""
    guard = fitted("bounds", "rate", "mahalanobis", episodes=130, alarms=0.05)
    guarded = Guarded(agent(), guard)
    sensors = Sensors(guard)
    clean = play(GuardedPlayer(guarded), task(), 6, 3, 6, True)
    broken = play(Faulty(GuardedPlayer(guarded), sensors, "not_finite"), task(), 6, 3, 6, True)
    assert np.isfinite(broken.returns).all()
    assert not np.array_equal(clean.returns, broken.returns)
    assert Reason.NOT_FINITE in guarded.reasons
