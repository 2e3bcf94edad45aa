from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from acclimate.errors import SurgeryError
from acclimate.surgery import (
    bake,
    extract,
    following_activation,
    frozen_copy,
    hold_statistics,
    insert,
    release_statistics,
    reparameterise,
    statistics_modules,
    still,
)


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, tensor: Tensor) -> Tensor:
        return tensor * self.factor


class Plus(nn.Module):
    def forward(self, tensor: Tensor) -> Tensor:
        return tensor + 1.0


def test_reparameterised_tensors_follow_each_other() -> None:
    layer = nn.Linear(2, 2)
    weight, bias, stored = layer.weight.detach().clone(), layer.bias.detach().clone(), layer.weight
    reparameterise(layer, "weight", Times(3.0))
    reparameterise(layer, "weight", Plus())
    torch.testing.assert_close(layer.weight, weight * 3 + 1)
    torch.testing.assert_close(layer.bias, bias)
    torch.testing.assert_close(layer(torch.eye(2)), (weight * 3 + 1).T + bias)
    assert isinstance(layer, nn.Linear)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias", "computes_weight.0.factor"]
    assert dict(layer.named_parameters())["weight"] is stored
    torch.testing.assert_close(copy.deepcopy(layer).weight, weight * 3 + 1)


def test_baking_leaves_a_stock_layer() -> None:
    layer = nn.Conv2d(1, 2, 2, bias=False)
    stored, weight = layer.weight, layer.weight.detach().clone()
    reparameterise(layer, "weight", Times(3.0))
    for _ in range(2):
        bake(layer)
        assert type(layer) is nn.Conv2d
        assert list(layer.state_dict()) == ["weight"]
        assert layer.weight is stored
        torch.testing.assert_close(stored.detach(), weight * 3)


def test_a_loaded_state_counts_in_what_is_computed() -> None:
    layer = nn.Linear(2, 2)
    reparameterise(layer, "weight", Times(2.0))
    state = {name: torch.ones_like(value) * 5 for name, value in layer.state_dict().items()}
    layer.load_state_dict(state)
    torch.testing.assert_close(layer.weight, torch.full((2, 2), 25.0))


def test_inserted_modules_run_in_order_and_go_last_first() -> None:
    layer = nn.Linear(2, 2).eval()
    x = torch.ones(1, 2)
    y = layer(x)
    insert(layer, Plus())
    insert(layer, Times(2.0))
    torch.testing.assert_close(layer(x), (y + 1) * 2)
    assert not any(part.training for part in layer.modules()), "they take over the mode of their host"
    torch.testing.assert_close(copy.deepcopy(layer)(x), (y + 1) * 2)
    extract(layer, Plus)
    torch.testing.assert_close(layer(x), y * 2)
    extract(layer, Times)
    extract(layer, Times)
    torch.testing.assert_close(layer(x), y)
    assert not layer._forward_hooks
    with pytest.raises(SurgeryError, match="a Sequential cannot host a module"):
        insert(nn.Sequential(layer), Plus())


def test_frozen_copies_are_apart() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    net.optimizer = torch.optim.Adam(net.parameters())
    net.kept = {"graph": [net[0](torch.ones(1, 2))]}
    twin = frozen_copy(net)
    assert twin.optimizer is None
    assert net.optimizer is not None
    assert twin.kept["graph"][0].grad_fn is None
    torch.testing.assert_close(twin.kept["graph"][0], net.kept["graph"][0].detach())
    assert not twin.training
    with torch.no_grad():
        net[0].weight += 1
    assert not torch.equal(twin[0].weight, net[0].weight)


def test_statistics_can_be_kept_still() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    modules = statistics_modules(net)
    assert modules == (net[1],)
    with still(modules):
        net(torch.randn(4, 2))
    assert torch.equal(net[1].running_mean, torch.zeros(2))
    assert net[1].training
    net(torch.randn(4, 2))
    assert not torch.equal(net[1].running_mean, torch.zeros(2))


def test_the_activation_that_follows() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Sequential(nn.Linear(2, 2)), nn.Linear(2, 2), nn.Flatten())
    assert following_activation(net, "0") is net[1]
    for path in ("2.0", "3"):
        assert following_activation(net, path) is None
    assert following_activation(nn.Bilinear(2, 2, 2), "") is None


def test_held_statistics_stay_until_they_were_released_as_often() -> None:
    norm = nn.BatchNorm1d(2)
    for act in (hold_statistics, hold_statistics, release_statistics):
        act(norm)
        norm.train()
        norm(torch.randn(8, 2))
        assert torch.equal(norm.running_mean, torch.zeros(2))
    release_statistics(norm)
    assert not norm._forward_pre_hooks
    norm.train()
    norm(torch.randn(8, 2))
    assert not torch.equal(norm.running_mean, torch.zeros(2))
    release_statistics(norm)
