from __future__ import annotations

import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError
from acclimate.methods.discriminative import Discriminative
from acclimate.methods.warmup import Warmup
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests.cases import agent


def test_the_rate_falls_from_the_heads_down() -> None:
    seam = Seam(agent("ppo-cnn", steps=0), Discriminative())
    scales = {path: seam.tuner.scales[p] for net in seam.tuner.nets for path, p in net.named_parameters()}
    assert scales["log_std"] == scales["action_net.weight"] == scales["value_net.bias"] == 1.0
    assert scales["mlp_extractor.policy_net.2.weight"] == pytest.approx(1 / 2.6)
    assert scales["mlp_extractor.value_net.0.bias"] == pytest.approx(1 / 6.76)
    assert scales["features_extractor.linear.0.weight"] == pytest.approx(1 / 17.576)
    assert scales["features_extractor.cnn.0.weight"] == pytest.approx(1 / 308.915776)


def test_each_layer_moves_by_its_rate() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    tuner = attach(Discriminative(factor=0.5), {"q": net}, optimizer=optimizer)
    before = [net[0].weight.detach().clone(), net[2].weight.detach().clone()]
    (net[0].weight.sum() + net[2].weight.sum()).backward()
    optimizer.step()
    tuner.step()
    torch.testing.assert_close(net[0].weight.detach(), before[0] - 0.6)
    torch.testing.assert_close(net[2].weight.detach(), before[1] - 0.3)


def test_it_multiplies_with_the_rate_of_another_method() -> None:
    seam = Seam(agent("sac-mlp", steps=0), chain(Warmup(start=0.1), Discriminative(factor=2.0)))
    scales = {path: seam.tuner.scales[p] for net in seam.tuner.nets for path, p in net.named_parameters()}
    assert scales["qf0.0.weight"] == scales["qf1.0.weight"] == pytest.approx(0.025)
    assert scales["mu.weight"] == scales["log_std.bias"] == pytest.approx(0.1)


@pytest.mark.parametrize("factor", [0.0, -2.0, float("inf")])
def test_what_cannot_be(factor: float) -> None:
    with pytest.raises(ConfigError, match=r"discriminative\.factor"):
        Discriminative(factor=factor)
