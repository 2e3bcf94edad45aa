"""The critic's choice between two actions, against the softmax computed by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.jump_start import JumpStart
from acclimate.methods.policy_expansion import PolicyExpansion
from acclimate.nets.experience import Batch, Decision
from acclimate.nets.net import Net
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Signals, chain
from tests.cases import agent


def decided(method: PolicyExpansion, net: Net, rows: int = 4000, **more: Any) -> Decision:
    """Ask for as many equal rows: the learner does 0.5."""
    observations, own = torch.zeros(rows, 3), torch.ones(rows, dtype=torch.bool)
    decision = Decision(observations, torch.full((rows, 2), 0.5), own, more.pop("own", own))
    with torch.no_grad():
        return method.act(net, {"seed": 0, "asked": 0}, decision, Signals(**more))[0]


def rated(prior: list[float], learner: list[float], name: str = "td3-mlp") -> Net:
    """Return an actor whose critics say this of its prior's action and of the learner's."""
    net = Seam(agent(name, steps=0), PolicyExpansion()).tuner.nets[0]

    def rates(batch: Batch) -> torch.Tensor:
        is_learner = (batch.actions == 0.5).all(-1, keepdim=True)
        return torch.where(is_learner, torch.tensor(learner), torch.tensor(prior))

    return dataclasses.replace(net, rates=rates)


def test_the_odds_are_those_of_the_softmax() -> None:
    """The least of the critics counts: 1.0 against 0.5, so exp(0.5 / T) to 1."""
    net = rated(prior=[1.0, 7.0], learner=[9.0, 0.5])
    for temperature in (0.25, 1.0):
        own = decided(PolicyExpansion(temperature=temperature), net).own
        expected = 1 / (1 + math.exp(0.5 / temperature))
        assert float(own.float().mean()) == pytest.approx(expected, abs=0.025)


def test_the_temperature_may_fall() -> None:
    net = rated(prior=[1.0], learner=[0.5])
    method = PolicyExpansion(temperature=Linear(1.0, 0.01))
    assert 0.3 < float(decided(method, net, progress=0.0).own.float().mean()) < 0.45
    assert not decided(method, net, progress=1.0).own.any()


@pytest.mark.parametrize("name", ["sac-mlp", "td3-mlp", "ddpg-mlp", "tqc-mlp", "crossq-mlp"])
def test_the_prior_proposes_its_likeliest_action(name: str) -> None:
    pretrained, model = agent(name), agent(name)
    method = PolicyExpansion(temperature=1e-3)
    seam = Seam(model, method)
    with torch.no_grad():
        for parameter in seam.tuner.nets[0].parameters():
            parameter += torch.randn_like(parameter)
    net = dataclasses.replace(
        seam.tuner.nets[0], rates=lambda batch: -(batch.actions - 9.0).abs().amax(-1, keepdim=True)
    )
    rng = np.random.default_rng(0)
    shown = rng.uniform(-1, 1, (16, 3)).astype(np.float32)
    own = torch.ones(16, dtype=torch.bool)
    far = Decision(torch.as_tensor(shown), torch.full((16, 2), -9.0), own, own)
    with torch.no_grad():
        found, after = method.act(net, {"seed": 0, "asked": 0}, far, Signals())
    expected, _ = pretrained.policy.predict(shown, deterministic=True)
    np.testing.assert_allclose(found.actions, pretrained.policy.scale_action(expected), atol=1e-5)
    assert not found.own.any()
    assert after["asked"] == 1
    near = dataclasses.replace(far, actions=torch.full((16, 2), 9.0))
    with torch.no_grad():
        kept, _ = method.act(net, after, near, Signals())
    assert kept.own.all()
    assert (kept.actions == 9.0).all()


def test_what_another_method_decided_stands() -> None:
    own = torch.arange(4000) % 2 == 0
    found = decided(PolicyExpansion(temperature=0.01), rated(prior=[9.0], learner=[0.0]), own=own)
    assert (found.actions[~own] == 0.5).all()
    assert (found.actions[own] != 0.5).all()


@pytest.mark.parametrize("prefers", ["prior", "learner"])
def test_what_was_taken_is_stored(prefers: str) -> None:
    """SB3's random warm-up stands for the learner; a critic that is lowest at the prior's action takes the other."""
    model = agent("td3-mlp", learning_starts=1000)
    seam, begin = Seam(model, PolicyExpansion(temperature=1e-4)), model.replay_buffer.pos
    reference, sign = seam.tuner.nets[0].reference, 1.0 if prefers == "prior" else -1.0

    def critic(observations: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor]:
        return (-sign * (actions - reference(observations)).abs().sum(-1, keepdim=True),)

    model.critic.forward = critic
    with seam:
        model.learn(10)
    buffer = model.replay_buffer
    seen, stored = (torch.as_tensor(part[begin : begin + 10, 0]) for part in (buffer.observations, buffer.actions))
    with torch.no_grad():
        by_prior = ((stored - reference(seen)).abs() < 1e-5).all(-1)
    assert by_prior.all() if prefers == "prior" else not by_prior.any()


@pytest.mark.parametrize("order", [1, -1])
def test_with_a_jump_start_the_prior_leads_whatever_the_critic_says(order: int) -> None:
    model = agent("td3-mlp", learning_starts=1000)
    methods = (JumpStart(horizon=99), PolicyExpansion())[::order]
    begin = model.replay_buffer.pos
    with Seam(model, chain(*methods)) as seam:
        model.learn(10)
    buffer = model.replay_buffer
    seen, stored = (torch.as_tensor(part[begin : begin + 10, 0]) for part in (buffer.observations, buffer.actions))
    with torch.no_grad():
        torch.testing.assert_close(stored, seam.tuner.nets[0].reference(seen))


def test_evaluation_is_the_learners_alone() -> None:
    model = agent("sac-mlp")
    shown = np.random.default_rng(0).uniform(-1, 1, (8, 3)).astype(np.float32)
    with Seam(model, PolicyExpansion(temperature=1e-3)) as seam:
        with torch.no_grad():
            for parameter in seam.tuner.nets[0].parameters():
                parameter += 0.5
        acted, _ = model.predict(shown, deterministic=True)
    after, _ = model.predict(shown, deterministic=True)
    np.testing.assert_array_equal(acted, after)


@pytest.mark.parametrize("name", ["ppo-mlp", "a2c-mlp", "dqn-mlp", "qrdqn-mlp"])
def test_without_a_critic_of_actions_it_is_refused(name: str) -> None:
    with pytest.raises(SurgeryError, match=r"`policy-expansion` on `\w+`: no critic rates its actions"):
        Seam(agent(name, steps=0), PolicyExpansion())


def test_a_temperature_is_above_zero() -> None:
    with pytest.raises(ConfigError, match=r"policy-expansion\.temperature is 0\.1->0"):
        PolicyExpansion(temperature=Linear(0.1, 0.0))
