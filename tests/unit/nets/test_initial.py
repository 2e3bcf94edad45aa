from __future__ import annotations

import math

import pytest
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from acclimate.nets.initial import fresh
from acclimate.nets.net import Net
from acclimate.nets.seeding import generator
from acclimate.seam.seam import Seam
from acclimate.tuning.method import chain
from tests.cases import agent


def nets_of(model: BaseAlgorithm) -> tuple[Net, ...]:
    return Seam(model, chain()).tuner.nets


@pytest.mark.parametrize("name", ["ppo-mlp", "a2c-cnn", "ppo-cnn-separate"])
def test_as_the_networks_of_ppo_began(name: str) -> None:
    """Rows (or columns) are orthogonal with the length that they have in an agent of SB3 that never trained."""
    model = agent(name, steps=0)
    for net in nets_of(model):
        for layer in net.layers():
            drawn = fresh(net, layer, generator(0, net.role))
            matrix, born = (w.detach().flatten(1) for w in (drawn["weight"], layer.module.weight))
            matrix, born = (m if m.shape[0] <= m.shape[1] else m.T for m in (matrix, born))
            torch.testing.assert_close(matrix @ matrix.T, born @ born.T, atol=1e-5, rtol=1e-4)
            assert not torch.equal(matrix, born)
            assert torch.equal(drawn["bias"], layer.module.bias.detach())


@pytest.mark.parametrize("name", ["sac-mlp", "dqn-cnn"])
def test_as_pytorch_makes_layers(name: str) -> None:
    """Uniform in +-1 / sqrt(inputs): the bound and the variance bound^2 / 3, biases too."""
    for net in nets_of(agent(name, steps=0)):
        for layer in net.layers():
            drawn = fresh(net, layer, generator(0, net.role))
            bound = 1.0 / math.sqrt(layer.module.weight[0].numel())
            for kind, tensor in drawn.items():
                assert float(tensor.abs().max()) <= bound
                assert float(getattr(layer.module, kind).detach().abs().max()) <= bound * 1.001
            if drawn["weight"].numel() > 1000:
                assert float(drawn["weight"].var()) == pytest.approx(bound**2 / 3, rel=0.1)


def test_draws_repeat_by_seed_role_and_count() -> None:
    net = Net("q", nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2, bias=False)), lambda *_: None)
    first, last = net.layers()
    one, again, other = (fresh(net, first, generator(*key)) for key in ((0, "q", 1), (0, "q", 1), (0, "q", 2)))
    assert torch.equal(one["weight"], again["weight"])
    assert not torch.equal(one["weight"], other["weight"])
    assert not torch.equal(one["weight"], fresh(net, first, generator(0, "critic", 1))["weight"])
    assert list(fresh(net, last, generator(0, "q"))) == ["weight"]
