from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError
from acclimate.methods.freeze import Freeze
from acclimate.methods.shrink_perturb import ShrinkPerturb
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests.cases import agent


def test_the_formula_for_the_network_and_its_twin() -> None:
    """theta' - shrink theta is the same for both, and uniform within perturb / sqrt(inputs)."""
    model = agent("sac-mlp", steps=20)
    critic, target = model.critic, model.critic_target
    before = [[p.detach().clone() for p in net.parameters()] for net in (critic, target)]
    actor = [p.detach().clone() for p in model.actor.parameters()]
    assert not torch.equal(before[0][0], before[1][0])
    Seam(model, ShrinkPerturb(shrink=0.5, perturb=0.3))
    rests = [
        [p.detach() - 0.5 * old for p, old in zip(net.parameters(), olds, strict=True)]
        for net, olds in zip((critic, target), before, strict=True)
    ]
    for one, other in zip(*rests, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    for layer in (module for module in critic.modules() if isinstance(module, nn.Linear)):
        place = next(i for i, p in enumerate(critic.parameters()) if p is layer.weight)
        bound = 0.3 / layer.in_features**0.5
        for rest in rests[0][place : place + 2]:
            assert 0.0 < float(rest.abs().max()) <= bound + 1e-6
            assert float(rests[0][place].abs().max()) > 0.3 * bound
    assert all(torch.equal(p, old) for p, old in zip(model.actor.parameters(), actor, strict=True))


def test_again_after_every_so_many_updates_with_fresh_noise() -> None:
    net = nn.Sequential(nn.Linear(2, 2, bias=False))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    theta = [net[0].weight.detach().clone()]
    tuner = attach(ShrinkPerturb(shrink=0.5, perturb=1.0, every=3, on="q"), {"q": net}, optimizer=optimizer)
    for _ in range(6):
        theta.append(net[0].weight.detach().clone())
        net(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        tuner.step()
    theta.append(net[0].weight.detach().clone())
    moved = [not torch.equal(a, b) for a, b in itertools.pairwise(theta)]
    assert moved == [True, False, False, True, False, False, True]
    noise = [new - 0.5 * old for old, new in itertools.pairwise(theta)]
    assert not torch.allclose(noise[0], noise[3])
    assert float(noise[6].abs().max()) <= 2**-0.5


def test_nothing_shrunk_and_nothing_added_is_the_identity_and_frozen_weights_stay() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    before = [p.detach().clone() for p in net.parameters()]
    attach(ShrinkPerturb(shrink=1.0, perturb=0.0, on="q"), {"q": net})
    assert all(torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True))
    attach(chain(Freeze(on="q:0"), ShrinkPerturb(on="q")), {"q": net})
    assert [torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True)] == [True, True, False, False]


@pytest.mark.parametrize(("field", "value"), [("shrink", 1.1), ("perturb", -0.1), ("every", -1)])
def test_values_that_cannot_be(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"shrink-perturb\.{field} is"):
        ShrinkPerturb(**{field: value})
