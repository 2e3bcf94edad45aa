"""Which share of the way is taken, and what goes along."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.channel import ChannelScale
from acclimate.methods.freeze import Freeze
from acclimate.methods.wise import WiSE
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.context import Context
from acclimate.tuning.method import chain
from tests.cases import agent, batch, context


def test_the_best_share_by_hand() -> None:
    """The weight went from 1 to 3, and 1.9 is best: 0.5 of the way, at 2, is nearest of those that are tried."""
    q = nn.Linear(1, 1, bias=False)
    tried = []

    def judge() -> tuple[float, int]:
        tried.append(round(float(q.weight), 6))
        return -abs(float(q.weight) - 1.9), 7

    with torch.no_grad():
        q.weight.fill_(1.0)
    tuner = attach(WiSE(), {"q": q}, context=Context(evaluate=judge))
    with torch.no_grad():
        q.weight.fill_(3.0)
    tuner.finish()
    assert tried == [3.0, 2.5, 2.0, 1.5]
    assert float(q.weight) == 2.0
    assert tuner.context.charged == 4 * 7


@pytest.mark.parametrize("score", [0.0, float("nan")])
def test_the_tuned_weights_stay_on_ties(score: float) -> None:
    q = nn.Linear(3, 2)
    tuner = attach(WiSE(shares=(0.0, 0.9)), {"q": q}, context=Context(evaluate=lambda: (score, 1)))
    torch.manual_seed(0)
    with torch.no_grad():
        q.weight += torch.randn_like(q.weight)
    tuned = copy.deepcopy(q.state_dict())
    tuner.finish()
    assert all(torch.equal(value, tuned[name]) for name, value in q.state_dict().items())


def going(name: str, method: WiSE, share: float) -> tuple[Seam, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Train, then go back to where `share` of the way is best; return the policy of the start and of the end too."""
    model = agent(name, learning_rate=1e-2)
    data = context(model)
    start = copy.deepcopy(model.policy.state_dict())
    with Seam(model, method, context=data) as seam:
        model.learn(16)
    end = copy.deepcopy(model.policy.state_dict())
    first = next(name for name in start if not torch.equal(start[name], end[name]))
    wanted = torch.lerp(start[first], end[first], share)
    data._evaluate = lambda: (-float((model.policy.state_dict()[first] - wanted).abs().sum()), 1)
    seam.finish()
    return seam, start, end


@pytest.mark.parametrize("name", ["ppo-mlp", "ppo-cnn", "sac-mlp", "td3-cnn-shared", "dqn-mlp", "crossq-mlp"])
def test_all_networks_go_together(name: str) -> None:
    """Actor, critic, targets and running statistics take the same share; counters of batches stay."""
    seam, start, end = going(name, WiSE(shares=(0.25, 0.5)), 0.25)
    for key, value in seam.model.policy.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, start[key] + 0.25 * (end[key] - start[key]))
        else:
            assert torch.equal(value, end[key])


def test_a_part_alone_and_what_is_frozen() -> None:
    model = agent("ppo-mlp")
    seam, _, end = going("ppo-mlp", WiSE(on="actor", shares=(0.5,)), 0.5)
    now = seam.model.policy.state_dict()
    assert torch.equal(now["value_net.weight"], end["value_net.weight"])
    assert not torch.equal(now["action_net.weight"], end["action_net.weight"])
    seam = Seam(model, chain(Freeze(on="actor"), WiSE()), context=context(model))
    before = copy.deepcopy(model.policy.action_net.weight)
    seam.finish()
    assert torch.equal(model.policy.action_net.weight, before)


def test_at_zero_it_is_the_pretrained_network_whatever_was_added() -> None:
    model = agent("ppo-mlp")
    shown = batch(model).observations
    before = model.policy.get_distribution(shown).distribution.mean.detach()
    data = context(model)
    with Seam(model, chain(ChannelScale(train_base=True, rate=5.0), WiSE(shares=(0.0,))), context=data) as seam:
        model.learn(16)
        # The nearer to the pretrained one, the better.
        data._evaluate = lambda: (-float((model.policy.get_distribution(shown).distribution.mean - before).norm()), 1)
        assert data.evaluate() < 0
        seam.finish()
    torch.testing.assert_close(seam.fold().policy.get_distribution(shown).distribution.mean, before)


def test_scales_of_channels_move_on_a_straight_line() -> None:
    q = nn.Linear(2, 2)
    pretrained = copy.deepcopy(q)
    data = Context(evaluate=lambda: (-abs(float(q.weight[0, 0] / pretrained.weight[0, 0]) - 2.0), 1))
    tuner = attach(chain(WiSE(shares=(0.5,)), ChannelScale()), {"q": q}, context=data)
    with torch.no_grad():
        for parameter in tuner.parameters:
            if parameter.requires_grad:
                parameter += 2.0
    tuner.finish()
    tuner.fold()
    torch.testing.assert_close(q.weight, 2.0 * pretrained.weight)
    torch.testing.assert_close(q.bias, 2.0 * pretrained.bias + 1.0)


def test_who_cannot_evaluate_hears_it_before_training() -> None:
    with pytest.raises(SurgeryError, match="`wise` chooses by evaluating the policy, and nothing here can"):
        Seam(agent("ppo-mlp"), WiSE())


@pytest.mark.parametrize("shares", [(), (1.0,), (-0.1, 0.5)])
def test_shares_out_of_range(shares: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=r"wise\.shares is"):
        WiSE(shares=shares)
