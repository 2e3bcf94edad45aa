"""The decay against PyTorch's own of SGD, and by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.channel import ChannelScale
from acclimate.methods.l2 import L2
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests.cases import agent, batch


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))


def test_the_coupled_decay_is_that_of_sgd() -> None:
    ours, theirs = net(), net()
    mine = torch.optim.SGD(ours.parameters(), lr=0.1)
    tuner = attach(L2(weight=0.3, on="*"), {"q": ours}, optimizer=mine)
    other = torch.optim.SGD(theirs.parameters(), lr=0.1, weight_decay=0.3)
    shown = torch.ones(4, 2)
    for _ in range(3):
        mine.zero_grad()
        (ours(shown).square().mean() + tuner.penalty(shown)).backward()
        mine.step()
        tuner.step()
        other.zero_grad()
        theirs(shown).square().mean().backward()
        other.step()
    for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, two)


def test_the_decoupled_decay_by_hand() -> None:
    q = net()
    optimizer = torch.optim.SGD(q.parameters(), lr=0.1)
    tuner = attach(L2(weight=Linear(2.0, 0.0), decoupled=True, on="q:*.weight"), {"q": q}, optimizer=optimizer)
    before = copy.deepcopy(q)
    assert tuner.penalty(torch.zeros(1, 2)).item() == 0.0
    q[0].weight.grad = torch.tensor([[3.0, 0.0], [0.0, 0.0]])
    optimizer.step()
    # SGD moves the first weight by -0.3, then all lose lr * weight = 0.2 of themselves.
    expected = 0.8 * (before[0].weight - torch.tensor([[0.3, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(q[0].weight, expected)
    torch.testing.assert_close(q[0].bias, before[0].bias)
    tuner.signals.progress = 1.0
    optimizer.step()
    torch.testing.assert_close(q[2].weight, 0.8 * before[2].weight)


def test_biases_and_the_log_std_are_left_out() -> None:
    model = agent("ppo-mlp")
    with torch.no_grad():
        for name, parameter in model.policy.named_parameters():
            parameter.fill_(0.1 if name.endswith("weight") else -2.0)
    weights = [p for name, p in model.policy.named_parameters() if name.endswith("weight")]
    expected = 0.5 * 0.01 * sum(p.numel() for p in weights)
    assert float(Seam(model, L2(weight=1.0)).tuner.penalty(batch(model))) == pytest.approx(expected, rel=1e-5)


def test_nothing_to_shrink_names_who_froze_it() -> None:
    with pytest.raises(SurgeryError, match=r"`l2` on .* constrains 0 trainable weights: `channel` froze all 4"):
        attach(chain(L2(on="*"), ChannelScale()), {"q": net()})


def test_growth_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"l2\.weight is -1"):
        L2(weight=-1.0)
