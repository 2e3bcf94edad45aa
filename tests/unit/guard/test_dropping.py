"""A policy that was trained with dropout is asked with hidden units left out: always the same ones."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from acclimate.agents.agent import Agent
from acclimate.agents.load import load
from acclimate.formats import writers
from acclimate.guard import saved
from acclimate.guard.dropping import MASKS, dropout_of, masks_of
from acclimate.guard.fitting import fit
from acclimate.guard.guard import Guard
from acclimate.guard.guarded import Guarded
from acclimate.guard.inside import Inside, hidden
from acclimate.guard.tiers.reasons import Reason
from acclimate.guard.tiers.voting import Dropped, Ensemble
from tests import tiny
from tests.unit.guard.world import Wander, agent, random_world, task, wandered


@pytest.fixture(scope="module")
def dropping() -> Agent:
    """Return an agent with a layer for dropout in its actor, and none in its critic."""
    from stable_baselines3 import PPO

    kwargs = {"net_arch": {"pi": [8, 6], "vf": [4]}}
    made = load(PPO("MlpPolicy", Wander(), n_steps=8, batch_size=8, policy_kwargs=kwargs, seed=1))
    made.model.policy.mlp_extractor.policy_net.append(nn.Dropout(0.25))
    return made


@pytest.fixture(scope="module")
def guard(dropping: Agent) -> Guard:
    return fit(dropping, task(), episodes=60, alarms=0.5, tiers=["uncertainty"])


def test_the_votes_by_hand(dropping: Agent) -> None:
    """One vote is the network with those units at zero and the others larger."""
    inside, seen = Inside(dropping), np.float32([[0.3, -1.0, 0.5], [1.0, 2.0, 0.0]])
    assert list(hidden(inside.net).values()) == [8, 6]
    masks = masks_of(inside.units, 0.25)
    assert masks.shape == (MASKS, 14)
    assert masks.unique().tolist() == pytest.approx([0.0, 4 / 3])
    found = inside.votes(masks, inside.asked, inside.scaled(seen))
    first, _, second, *_ = dropping.model.policy.mlp_extractor.policy_net
    with torch.no_grad():
        for mask, vote in zip(masks, found, strict=True):
            units = torch.tanh(first(torch.from_numpy(seen))) * mask[:8]
            units = torch.tanh(second(units)) * mask[8:]
            torch.testing.assert_close(vote, dropping.model.policy.action_net(units))
    assert not torch.equal(found[0], found[1])


def test_it_is_taken_where_the_network_was_trained_so_and_else_the_ensemble(dropping: Agent, guard: Guard) -> None:
    (tier,) = [tier for tier in guard.filter.tiers if tier.reason is Reason.UNCERTAINTY]
    assert isinstance(tier, Dropped)
    assert dropout_of(dropping, Inside(dropping).nets) == 0.25
    other = fit(agent(), task(), episodes=20, alarms=0.5, tiers=["uncertainty"])
    assert isinstance(other.filter.tiers[-1], Ensemble)
    assert dropout_of(agent(), Inside(agent()).nets) is None


def test_what_is_strange_is_less_sure(dropping: Agent, guard: Guard) -> None:
    guarded = Guarded(dropping, guard)
    seen = np.float32([[0.1, 0.0, -0.1], [30.0, -30.0, 30.0]])
    _, decision, _ = guarded.predict(seen, guarded.initial(2), np.array([True, True]))
    assert decision.scores[1, -1] > 1.5 * decision.scores[0, -1]


def test_the_same_masks_whoever_asks(dropping: Agent, guard: Guard, tmp_path: Path) -> None:
    again = saved.load(saved.save(guard, tmp_path / "guard.safetensors"))
    for one, other in zip(guard.filter.tiers, again.filter.tiers, strict=True):
        assert type(one) is type(other)
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name])
    seen, scores = np.float32([[0.3, -1.0, 0.5]]), []
    for held in (guard, again, copy.deepcopy(guard)):
        guarded = Guarded(dropping, held)
        scores.append(guarded.predict(seen, guarded.initial())[1].scores)
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[0], scores[2])


@pytest.mark.parametrize(
    ("methods", "wanted"),
    [
        ([{"dropout": {"p": 0.1, "on": "critic|q"}}], 0.1),
        ([{"dropout": {"p": 0.1, "on": "critic"}}], None),
        ([{"bc": {}}, {"droq": {"p": 0.02, "on": ["q"]}}], 0.02),
        ([{"bc": {}}], None),
        ("nonsense", None),
        ([{"dropout": {"p": "much", "on": "q"}}], None),
        ([{"dropout": {"p": 0.1, "on": "q:"}}], None),
    ],
)
def test_the_run_tells_of_its_methods(methods: Any, wanted: float | None, tmp_path: Path) -> None:
    writers.save(load(tiny.model("dqn", steps=0)), tmp_path / "agent.zip")
    (tmp_path / "run.json").write_text(json.dumps({"recipe": {"methods": methods}}))
    tuned = load(tmp_path / "agent.zip")
    assert dropout_of(tuned, Inside(tuned).nets) == wanted


@pytest.mark.parametrize("name", ["ppo-cnn", "dqn", "sac", "td3", "qrdqn", "her"])
def test_every_kind_of_network_votes(name: str) -> None:
    made, world = random_world(name)
    inside = Inside(made)
    masks = masks_of(inside.units, 0.5)
    seen = inside.scaled(tiny.observations(world.observation_space, 3))
    votes = inside.votes(masks, inside.asked, seen)
    _, out = inside.read(inside.asked, seen)
    assert votes.shape == (MASKS, *out.shape)
    assert votes.std(0).amax() > 0
    everything = inside.votes(torch.ones_like(masks), inside.asked, seen)
    torch.testing.assert_close(everything, out.expand_as(everything))


def test_a_thread_that_acts_meanwhile_is_left_alone() -> None:
    """It is neither heard in the place of what was asked, nor does it act with units left out."""
    inside = Inside(agent())
    seen, others = wandered(2).flatten(0, 1), wandered(7, seed=1).flatten(0, 1)
    acted: list[Any] = []

    def run(given: Any) -> None:
        thread = Thread(target=lambda: acted.append(inside.asked(others).mean))
        thread.start()
        thread.join()
        inside.asked(given)

    masks = masks_of(inside.units, 0.5)
    with torch.no_grad():
        wanted = inside.asked(others).mean
        torch.testing.assert_close(inside.read(run, seen), inside.read(inside.asked, seen))
        torch.testing.assert_close(inside.votes(masks, run, seen), inside.votes(masks, inside.asked, seen))
    for each in acted:
        torch.testing.assert_close(each.detach(), wanted)
