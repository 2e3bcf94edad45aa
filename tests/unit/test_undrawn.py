"""Agents are put together without drawing weights that are thrown away."""

from __future__ import annotations

import pytest
import torch
from tests import tiny

import acclimate as ac
from acclimate.undrawn import Undrawn


@pytest.mark.parametrize("name", ["ppo", "sac", "dqn"])
def test_loading_leaves_the_random_numbers_and_fills_every_weight(name: str) -> None:
    model, state = tiny.model(name, steps=0), torch.get_rng_state()
    agent = ac.load(model)
    assert torch.equal(state, torch.get_rng_state())
    for key, value in model.policy.state_dict().items():
        assert torch.equal(agent.model.policy.state_dict()[key], value)


def test_layers_keep_their_shapes_undrawn() -> None:
    state = torch.get_rng_state()
    with Undrawn():
        layers = [torch.nn.Linear(3, 5), torch.nn.Conv2d(2, 4, 3), torch.nn.Embedding(4, 2)]
        for layer in layers[:2]:
            torch.nn.init.orthogonal_(layer.weight, gain=2.0)
    assert [tuple(layer.weight.shape) for layer in layers] == [(5, 3), (4, 2, 3, 3), (4, 2)]
    assert torch.equal(state, torch.get_rng_state())
