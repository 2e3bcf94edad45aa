"""A target network follows as under Stable-Baselines3, to the bit, whether or not some of it has come to rest."""

from __future__ import annotations

import copy

import pytest
import torch
from stable_baselines3.common.utils import polyak_update
from torch import nn

from acclimate.engine.arrays.flat import Flat
from acclimate.engine.learning.targets import Following


def networks() -> tuple[nn.Sequential, nn.Sequential]:
    torch.manual_seed(0)
    first, second = (nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 8)) for _ in range(2))
    return first, second


def move(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.01)


@pytest.mark.parametrize("tau", [0.005, 0.3, 1.0])
def test_it_is_polyak_averaging(tau: float) -> None:
    online, target = networks()
    online[0].requires_grad_(False)
    theirs = copy.deepcopy(target)
    flat, followed = Flat(list(online.parameters())), Flat(list(target.parameters()))
    following = Following(flat, followed)
    first = target[0].weight
    rested = []
    for step in range(4000):
        move(online)
        if step == 3900:
            with torch.no_grad():
                online[0].weight.mul_(1.1)
        following.follow(tau)
        polyak_update(online.parameters(), theirs.parameters(), tau)
        rested.append(following.rests(first))
    for ours, other in zip(target.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(ours, other)
    # It was no longer at rest when what it follows was changed.
    assert rested[3899]
    assert not rested[3900]


def test_what_is_trained_never_rests() -> None:
    online, target = networks()
    following = Following(Flat(list(online.parameters())), Flat(list(target.parameters())))
    for _ in range(100):
        following.follow(1.0)
    assert not any(following.rests(parameter) for parameter in target.parameters())
