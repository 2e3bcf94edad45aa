from __future__ import annotations

import pytest
import torch
from torch import nn

from acclimate.config import from_dict
from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.freeze import Freeze
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from tests.cases import agent


def test_adam_with_decay_does_not_move_what_is_frozen() -> None:
    """With moments of before and weight decay, a rate of zero would hold, but a zero gradient would not."""
    torch.manual_seed(0)
    q = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(q.parameters(), lr=0.1, weight_decay=0.5)
    q(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    before = [p.detach().clone() for p in q.parameters()]
    tuner = attach(Freeze(on="q:0"), {"q": q}, optimizer=optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        q(torch.ones(2, 3)).sum().backward()
        optimizer.step()
        tuner.step()
    same = [torch.equal(p, value) for p, value in zip(q.parameters(), before, strict=True)]
    assert same == [True, True, False, False]
    tuner.fold()
    assert all(p.requires_grad for p in q.parameters())


@pytest.mark.parametrize("name", ["sac-mlp", "td3-mlp", "tqc-mlp", "crossq-mlp"])
@pytest.mark.parametrize("role", ["actor", "critic"])
def test_a_whole_network_of_its_own_optimizer(name: str, role: str) -> None:
    """SB3 differentiates the loss of a frozen network all the same, and must be able to."""
    model = agent(name)
    with Seam(model, Freeze(on=role)) as seam:
        frozen = {p: p.detach().clone() for p in getattr(model, role).parameters()}
        free = {p: p.detach().clone() for n in seam.tuner.nets if n.role != role for p in n.parameters()}
        model.learn(24)
    assert all(torch.equal(p, value) and p.grad is None for p, value in frozen.items())
    assert any(not torch.equal(p, value) for p, value in free.items())


@pytest.mark.parametrize(("on", "moves"), [("critic", False), ("actor", True)])
def test_running_statistics_are_held(on: str, moves: bool) -> None:
    model = agent("crossq-mlp")
    statistics = [b for n, b in model.critic.named_buffers() if "ra_" in n]
    before = [b.clone() for b in statistics]
    with Seam(model, Freeze(on=on)) as seam:
        model.learn(24)
    assert all(not torch.equal(a, b) for a, b in zip(before, statistics, strict=True)) is moves
    assert any(torch.equal(a, b) for a, b in zip(before, statistics, strict=True)) is not moves
    model = seam.fold()
    before = [b.clone() for b in statistics]
    model.learn(24)
    assert not any(torch.equal(a, b) for a, b in zip(before, statistics, strict=True))


def test_it_must_be_said_what_to_freeze() -> None:
    with pytest.raises(ConfigError, match="the field `on` is missing"):
        from_dict(Freeze, {}, path="recipe.freeze")
    with pytest.raises(SurgeryError, match="freeze every weight"):
        Seam(agent("ppo-mlp"), Freeze(on="*"))
