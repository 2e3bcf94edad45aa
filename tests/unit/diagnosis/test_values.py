"""What critics say against what was paid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acclimate.diagnosis import values
from acclimate.errors import SurgeryError
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.nets.outputs import ActionValues, Gaussian, Point, Values
from acclimate.seam.seam import Seam
from acclimate.tuning.method import chain
from tests.cases import agent, batch


def test_returns_to_go_by_hand() -> None:
    """An episode that terminates, one that is cut, and the start of a third; discount a half."""
    rewards = np.array([1.0, 2.0, 4.0, 1.0, 1.0, 1.0, 1.0, 1.0, 8.0])
    terminated = np.array([0, 0, 1, 0, 0, 0, 0, 0, 0], dtype=bool)
    ended = np.array([0, 0, 1, 0, 0, 0, 0, 1, 0], dtype=bool)
    total, known = values.returns_to_go(rewards, terminated, ended, 0.5)
    assert total[:3].tolist() == [3.0, 4.0, 4.0]
    assert total[3] == 1.9375
    assert known.tolist() == [True, True, True, True, True, False, False, False, False]


def test_bias_and_spread_by_hand() -> None:
    each = torch.tensor([[1.0, 3.0], [2.0, 2.0]])
    assert values.bias(each, torch.tensor([0.5, 1.5])) == 1.0
    assert values.spread(each) == pytest.approx(0.5 / 2.0)
    assert values.spread(torch.full((4, 2), 3.0)) == 0.0


def test_the_td_error_by_hand() -> None:
    error = values.td_error(
        torch.tensor([1.0, 5.0]), torch.tensor([1.0, 2.0]), torch.tensor([4.0, 9.0]), torch.tensor([0.0, 1.0]), 0.5
    )
    assert error == (2.0 + 3.0) / 2


def test_each_critic() -> None:
    net = Net("critic", torch.nn.Linear(1, 1), lambda m, b: None, heads=("qf0", "qf1"))  # type: ignore[arg-type,return-value]
    quantiles = Values(torch.tensor([[1.0, 3.0, 10.0, 20.0]]))
    assert values.each_critic(net, quantiles, torch.zeros(1, 1)).tolist() == [[2.0, 15.0]]
    chosen = ActionValues(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert values.each_critic(net, chosen, torch.tensor([[1], [0]])).tolist() == [[2.0], [3.0]]
    with pytest.raises(SurgeryError, match="`critic`"):
        values.each_critic(net, Point(torch.zeros(1, 1)), torch.zeros(1, 1))


def test_the_most_likely_action() -> None:
    mean = torch.tensor([[0.5]])
    assert values.mode(Gaussian(mean, torch.zeros(1))).item() == 0.5
    assert values.mode(Gaussian(mean, torch.zeros(1), squashed=True)).item() == pytest.approx(np.tanh(0.5))
    assert values.mode(Values(mean)) is None


@pytest.mark.parametrize("name", ["dqn-mlp", "sac-mlp"])
def test_the_td_error_of_sb3s_networks(name: str) -> None:
    """Of DQN against its own networks, and of SAC by its least target critic at the squashed mean."""
    model = agent(name)
    seen, policy = batch(model), model.policy
    found = values.temporal_difference({net.role: net for net in Seam(model, chain()).tuner.nets}, seen, 0.9)
    with torch.no_grad():
        if name == "dqn-mlp":
            now = policy.q_net(seen.observations).gather(1, seen.actions)[:, 0]
            later = policy.q_net_target(seen.next_observations).max(1).values
        else:
            now = sum(policy.critic(seen.observations, seen.actions))[:, 0] / 2
            acts = policy.actor(seen.next_observations, deterministic=True)
            later = torch.min(*policy.critic_target(seen.next_observations, acts))[:, 0]
    expected = (seen.rewards + 0.9 * (1 - seen.dones) * later - now).abs().mean()
    assert found == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", ["td3-mlp", "tqc-mlp", "qrdqn-mlp", "crossq-mlp", "sac-cnn-shared"])
def test_every_off_policy_critic_has_one(name: str) -> None:
    model = agent(name)
    nets = {net.role: net for net in Seam(model, chain()).tuner.nets}
    assert values.temporal_difference(nets, batch(model), 0.9) > 0
    assert values.temporal_difference(nets, Batch(batch(model).observations), 0.9) is None


def test_a_critic_of_states_has_none() -> None:
    model = agent("ppo-mlp")
    nets = {net.role: net for net in Seam(model, chain()).tuner.nets}
    assert values.temporal_difference(nets, batch(model), 0.9) is None
