from __future__ import annotations

import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError
from acclimate.methods.l2_init import L2Init
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from tests.cases import agent


def test_the_pull_is_towards_one_fresh_draw_and_not_towards_the_pretrained_weights() -> None:
    """d penalty / d theta = weight (theta - theta_init), so autograd tells theta_init: bounded, and not theta0."""
    net = nn.Sequential(nn.Linear(400, 30), nn.ReLU(), nn.Linear(30, 2))
    with torch.no_grad():
        net[0].weight.fill_(3.0)
    tuner = attach(L2Init(weight=0.5, on="q"), {"q": net})
    draws = []
    for _ in range(2):
        net.zero_grad()
        penalty = tuner.penalty(torch.zeros(1, 400))
        penalty.backward()
        draws.append([p.detach() - p.grad / 0.5 for p in net.parameters()])
        pairs = zip(net.parameters(), draws[-1], strict=True)
        expected = sum(float((p.detach() - born).square().sum()) for p, born in pairs)
        assert float(penalty) == pytest.approx(0.25 * expected, rel=1e-4)
        with torch.no_grad():
            net[0].weight.add_(1.0)
    for first, second in zip(*draws, strict=True):
        torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-4)
    born = draws[0][0]
    assert float(born.abs().max()) <= 1 / 20 + 1e-5
    assert float(born.std()) == pytest.approx(1 / 20 / 3**0.5, rel=0.05)


def test_the_critic_of_ppo_is_pulled_to_orthogonal_weights() -> None:
    model = agent("ppo-mlp")
    seam = Seam(model, L2Init(on="critic"))
    (part,) = seam.tuner.composition.parts
    born = part.states["critic"][model.policy.mlp_extractor.value_net[0].weight]
    torch.testing.assert_close(born.T @ born, 2.0 * torch.eye(3), atol=1e-5, rtol=1e-5)


def test_a_pull_is_no_push() -> None:
    with pytest.raises(ConfigError, match=r"l2-init\.weight is"):
        L2Init(weight=-1.0)
