from __future__ import annotations

import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.channel import ChannelScale
from acclimate.methods.freeze import Freeze
from acclimate.methods.l2sp import L2SP
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests.cases import agent


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))


def test_penalty_and_gradient_by_hand() -> None:
    q = net()
    tuner = attach(L2SP(weight=Linear(0.6, 0.2), on="q:0"), {"q": q})
    with torch.no_grad():
        q[0].weight += torch.tensor([[1.0, 0.0], [0.0, -2.0]])
        q[2].weight += 5.0
    penalty = tuner.penalty(torch.zeros(1, 2))
    assert penalty.item() == pytest.approx(0.5 * 0.6 * (1 + 4))
    penalty.backward()
    torch.testing.assert_close(q[0].weight.grad, 0.6 * torch.tensor([[1.0, 0.0], [0.0, -2.0]]))
    assert q[2].weight.grad is None
    tuner.signals.progress = 0.5
    assert tuner.penalty(torch.zeros(1, 2)).item() == pytest.approx(0.5 * 0.4 * 5)


def test_the_decoupled_pull_by_hand() -> None:
    q = net()
    optimizer = torch.optim.SGD(q.parameters(), lr=0.1)
    tuner = attach(L2SP(weight=2.0, decoupled=True), {"q": q}, optimizer=optimizer)
    before = q[0].weight.detach().clone()
    assert tuner.penalty(torch.zeros(1, 2)).item() == 0.0
    (q[0].weight * torch.tensor([[3.0, 0.0], [0.0, 0.0]])).sum().backward()
    optimizer.step()
    tuner.step()
    # SGD moves the first weight by -0.3; the pull takes lr * weight = 0.2 of that back.
    torch.testing.assert_close(q[0].weight - before, torch.tensor([[-0.3 * 0.8, 0.0], [0.0, 0.0]]))


def test_decoupled_never_overshoots() -> None:
    q = net()
    tuner = attach(L2SP(weight=1e6, decoupled=True), {"q": q})
    torch.optim.SGD(tuner.groups(lr=0.1), lr=0.1)
    before = q[0].weight.detach().clone()
    with torch.no_grad():
        q[0].weight += 1.0
    tuner.step()
    torch.testing.assert_close(q[0].weight.detach(), before)


def test_more_weight_stays_nearer() -> None:
    def distance(weight: float) -> float:
        model = agent("ppo-mlp", n_epochs=6, learning_rate=3e-3)
        before = torch.cat([p.detach().flatten() for p in model.policy.parameters()])
        with Seam(model, L2SP(weight=weight)):
            model.learn(32)
        return float((torch.cat([p.detach().flatten() for p in model.policy.parameters()]) - before).norm())

    far, near, nearest = (distance(weight) for weight in (0.0, 1.0, 100.0))
    assert far > near > nearest


def test_nothing_to_pull_names_who_froze_it() -> None:
    with pytest.raises(SurgeryError) as caught:
        attach(chain(L2SP(), ChannelScale()), {"q": net()})
    assert str(caught.value) == (
        "`l2sp` on `*` constrains 0 trainable weights: `channel` froze all 4; "
        "leave one out, or choose other parts with `on`"
    )
    with pytest.raises(SurgeryError, match="`freeze` froze all 2"):
        attach(chain(Freeze(on="q:2"), L2SP(on="q:2")), {"q": net()})


def test_a_push_is_refused() -> None:
    for weight in (-0.1, Linear(0.1, -0.1)):
        with pytest.raises(ConfigError, match=r"l2sp\.weight"):
            L2SP(weight=weight)
