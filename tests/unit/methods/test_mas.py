"""Importance by sensitivity, against plain autograd on SB3's own networks and by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.mas import MAS
from acclimate.nets.experience import Batch
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.context import Context
from tests.cases import agent, batch, context

STATES = torch.tensor([[1.0, 2.0], [-1.0, 3.0]])


def test_by_hand() -> None:
    """Of y = W x it is mean |2 y_j x_i|: y = (3, 2) in the first state, (2, 3) in the second."""
    q = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        q.weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
    tuner = attach(
        MAS(weight=Linear(0.5, 0.0), stored=2), {"q": q}, context=Context(source=lambda steps: Batch(STATES[:steps]))
    )
    with torch.no_grad():
        q.weight += torch.tensor([[0.1, 0.0], [0.0, -0.2]])
    first = (2 * 3 * 1 + 2 * 2 * 1) / 2
    last = (2 * 2 * 2 + 2 * 3 * 3) / 2
    assert tuner.penalty(STATES).item() == pytest.approx(0.5 * (first * 0.01 + last * 0.04))
    tuner.signals.progress = 1.0
    assert tuner.composition.penalised(tuner.nets) == []


@pytest.mark.parametrize("on", ["actor", "critic"])
def test_networks_of_sac(on: str) -> None:
    model = agent("sac-mlp")
    seam = Seam(model, MAS(weight=1.0, stored=3, on=on), context=context(model))
    steps = batch(model, 3, seed=2)
    module = getattr(model, on)
    expected = {p: torch.zeros_like(p) for p in module.parameters()}
    for row in range(3):
        one = steps.rows(slice(row, row + 1))
        if on == "actor":
            mean, log_std, _ = module.get_action_dist_params(one.observations)
            norm = mean.square().sum() + log_std.square().sum()
        else:
            norm = sum(q.square().sum() for q in module(one.observations, one.actions))
        for parameter, gradient in zip(expected, torch.autograd.grad(norm, list(expected)), strict=True):
            expected[parameter] += gradient.abs() / 3
    found = seam.tuner.composition.parts[0].states[on]["importance"]
    assert set(found) == set(expected)
    for parameter, value in found.items():
        torch.testing.assert_close(value, expected[parameter])


def test_without_the_source_task() -> None:
    with pytest.raises(SurgeryError, match=r"`mas` on `actor`: .* the source task, which was not given"):
        Seam(agent("ppo-mlp"), MAS())


@pytest.mark.parametrize("field", [{"weight": -1.0}, {"stored": 0}])
def test_numbers_out_of_range(field: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"mas\.{next(iter(field))} is"):
        MAS(**field)
