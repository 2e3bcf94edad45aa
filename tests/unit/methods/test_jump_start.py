"""Who acts when, and that an on-policy update has the policy's own steps alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from acclimate.errors import ConfigError
from acclimate.methods.freeze import Freeze
from acclimate.methods.jump_start import JumpStart
from acclimate.nets.experience import Decision
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Signals, chain
from tests.cases import agent
from tests.unit.seam.test_decisions import WIDE, minibatches, ppo, worlds


def asked(method: JumpStart, rounds: list[tuple[float, list[bool]]], name: str = "td3-mlp") -> list[list[bool]]:
    """Ask at each (progress, starts), and return which rows the prior took: the learner would do 9."""
    seam = Seam(agent(name, steps=0), method)
    net = seam.tuner.composition.parts[0].views[0]
    state, taken = method.init(net, seam.tuner.context), []
    for progress, starts in rounds:
        n = len(starts)
        decision = Decision(
            torch.zeros(n, 3), torch.full((n, 2), 9.0), torch.tensor(starts), torch.ones(n, dtype=torch.bool)
        )
        with torch.no_grad():
            decided, state = method.act(net, state, decision, Signals(progress=progress))
        by_prior = (decided.actions != 9.0).all(-1)
        assert torch.equal(decided.own, ~by_prior)
        taken.append(by_prior.tolist())
    return taken


def test_the_prior_takes_the_first_steps_of_each_episode() -> None:
    rounds = [(0.0, [True, True]), (0.0, [False, False]), (0.0, [False, True]), (0.0, [False, False])]
    taken = asked(JumpStart(horizon=2), rounds)
    assert taken == [[True, True], [True, True], [False, True], [False, True]]


def test_the_horizon_is_that_of_the_episodes_begin_and_falls_to_none() -> None:
    """At 0 it is 4, at 1/4 it is 2, from 1/2 on none; an episode keeps what it began with."""
    rounds = [(0.0, [True]), *[(0.3, [False])] * 4, (0.25, [True]), *[(0.25, [False])] * 2, (0.5, [True])]
    taken = [row[0] for row in asked(JumpStart(horizon=Linear(4, 0, fraction=0.5)), rounds)]
    assert taken == [True] * 4 + [False] + [True, True, False] + [False]


def test_horizons_are_rounded_to_whole_steps() -> None:
    assert [row[0] for row in asked(JumpStart(horizon=1.6), [(0.0, [s]) for s in (True, False, False)])] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("name", ["ppo-mlp", "ppo-mlp-discrete", "a2c-cnn", "sac-mlp", "td3-mlp", "dqn-mlp"])
@pytest.mark.parametrize("deterministic", [True, False])
def test_the_prior_acts_as_it_was_pretrained(name: str, deterministic: bool) -> None:
    """However the weights moved since: what SB3 itself predicts with the weights of before."""
    model, pretrained = agent(name), agent(name)
    method = JumpStart(horizon=3, deterministic=deterministic)
    seam = Seam(model, method)
    with torch.no_grad():
        for parameter in seam.tuner.parameters:
            parameter += torch.randn_like(parameter)
    model.observation_space.seed(3)
    shown = np.stack([model.observation_space.sample() for _ in range(400)])
    net = seam.tuner.nets[0]
    sampled = np.stack([model.action_space.sample() for _ in range(400)])
    starts = torch.ones(400, dtype=torch.bool)
    observations, _ = model.policy.obs_to_tensor(shown)
    decision = Decision(observations, torch.as_tensor(sampled), starts, starts)
    with torch.no_grad():
        decided, state = method.act(net, method.init(net, seam.tuner.context), decision, Signals())
        again, _ = method.act(net, method.init(net, seam.tuner.context), decision, Signals())
        other, _ = method.act(net, state, decision, Signals())
    assert decided.actions.dtype == decision.actions.dtype
    assert torch.equal(decided.actions, again.actions), "the seed decides what is drawn"
    expected, _ = pretrained.policy.predict(shown, deterministic=True)
    if isinstance(model.action_space, spaces.Box) and model.policy.squash_output:
        expected = model.policy.scale_action(expected)
    draws = not deterministic and name not in ("td3-mlp", "dqn-mlp")
    assert torch.equal(decided.actions, other.actions) != draws
    if draws:
        assert (np.asarray(decided.actions) != expected).any()
    elif name == "ppo-mlp":  # `predict` clips to the bounds
        np.testing.assert_allclose(
            np.clip(decided.actions, model.action_space.low, model.action_space.high), expected, atol=1e-5
        )
    else:
        np.testing.assert_allclose(decided.actions, expected, atol=1e-5)


def test_the_prior_sees_what_it_was_pretrained_on() -> None:
    model = agent("td3-mlp")
    seam = Seam(model, JumpStart(horizon=1), seen_as=lambda observations: observations * 2.0)
    net, method = seam.tuner.nets[0], JumpStart(horizon=1)
    shown, starts = torch.rand(4, 3), torch.ones(4, dtype=torch.bool)
    decision = Decision(shown, torch.zeros(4, 2), starts, starts)
    with torch.no_grad():
        decided, _ = method.act(net, method.init(net, seam.tuner.context), decision, Signals())
        torch.testing.assert_close(decided.actions, model.actor(shown * 2.0))


def test_on_policy_the_roll_in_is_left_out_of_the_update() -> None:
    """Episodes of 4 and 3 steps, 2 of each by the prior."""
    _, seen = minibatches(ppo((4, 3), n_epochs=1), JumpStart(horizon=2), 16)
    rows = torch.cat(seen)
    assert len(rows) == 6
    assert (rows[:, 0] >= 2).all()


def test_off_policy_the_roll_in_is_stored_as_any_step() -> None:
    from stable_baselines3 import TD3

    arguments: dict[str, Any] = {"learning_starts": 100, "buffer_size": 50, "policy_kwargs": {"net_arch": [4]}}
    model = TD3("MlpPolicy", worlds((4, 3), WIDE), device="cpu", seed=0, **arguments)
    with Seam(model, JumpStart(horizon=2)) as seam:
        model.learn(32)
    buffer = model.replay_buffer
    for env in range(2):
        seen, stored = torch.as_tensor(buffer.observations[:16, env]), torch.as_tensor(buffer.actions[:16, env])
        with torch.no_grad():
            prior = seam.tuner.nets[0].reference(seen)
        led = seen[:, 0] < 2
        torch.testing.assert_close(stored[led], prior[led])
        assert ((stored[~led] - prior[~led]).abs().amax(-1) > 1e-4).all(), "SB3's random warm-up"


def test_where_nothing_is_led_the_run_is_that_of_sb3() -> None:
    plain = agent("ppo-mlp")
    plain.learn(16)
    led = agent("ppo-mlp")
    with Seam(led, JumpStart(horizon=0)):
        led.learn(16)
    assert all(torch.equal(a, b) for a, b in zip(plain.policy.parameters(), led.policy.parameters(), strict=True))


def test_a_frozen_actor_can_be_led() -> None:
    """What it changes is what is met, from which the critic learns."""
    model = agent("sac-mlp")
    before = [p.detach().clone() for p in model.critic.parameters()]
    with Seam(model, chain(JumpStart(horizon=3), Freeze(on="actor"))):
        model.learn(16)
    assert not all(torch.equal(a, b) for a, b in zip(before, model.critic.parameters(), strict=True))


def test_a_horizon_cannot_be_negative() -> None:
    with pytest.raises(ConfigError, match=r"jump-start\.horizon is -1"):
        JumpStart(horizon=-1)
