from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from acclimate.errors import SurgeryError
from acclimate.nets.copies import frozen_copy
from acclimate.nets.layers import following_activation, layer_paths
from acclimate.nets.modes import hold_statistics, release_statistics, statistics_modules, still
from acclimate.nets.surgery import bake, extract, hand_back, insert, reparameterise, stop_computing, take_over


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


def test_inserted_before_a_layer_it_runs_on_what_that_takes() -> None:
    layer = nn.Linear(2, 2)
    plain = copy.deepcopy(layer)
    insert(layer, Times(3.0), before=True)
    insert(layer, Plus())
    x = torch.randn(4, 2)
    torch.testing.assert_close(layer(x), plain(3.0 * x) + 1.0)
    extract(layer, Times)
    torch.testing.assert_close(layer(x), plain(x) + 1.0)


def test_what_is_left_is_named_as_if_it_had_come_alone() -> None:
    layer, alone = nn.Linear(2, 2), nn.Linear(2, 2)
    insert(layer, Plus())
    insert(layer, Times(2.0))
    insert(alone, Times(2.0))
    extract(layer, Plus)
    assert list(layer.state_dict()) == list(alone.state_dict()) == ["weight", "bias", "inserted_0.factor"]
    extract(layer, Times)
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_a_copy_runs_its_own_insertions() -> None:
    layer, x = nn.Linear(2, 2), torch.ones(1, 2)
    insert(layer, Times(2.0))
    twin = copy.deepcopy(layer)
    before = twin(x)
    with torch.no_grad():
        layer.inserted_0.factor.fill_(5.0)
    assert torch.equal(twin(x), before)


class Twice(nn.Module):
    def forward(self, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return 2.0 * nn.functional.linear(inputs, weight, bias)


def test_a_layer_is_computed_by_another_module_on_its_own_tensors() -> None:
    layer, x = nn.Linear(2, 2), torch.randn(4, 2)
    plain = layer(x)
    insert(layer, Plus())
    take_over(layer, Twice())
    torch.testing.assert_close(layer(x), 2.0 * plain + 1.0)
    reparameterise(layer, "weight", Times(0.0))
    torch.testing.assert_close(layer(x), (2.0 * layer.bias + 1.0).expand(4, 2))
    with pytest.raises(SurgeryError, match="another module computes this layer already"):
        take_over(layer, Twice())
    assert isinstance(hand_back(layer), Twice)
    assert hand_back(layer) is None
    torch.testing.assert_close(layer(x), (layer.bias + 1.0).expand(4, 2))


def test_layers_that_methods_put_into_a_layer_are_none_of_the_network() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Conv1d(1, 1, 1)), nn.ReLU(), nn.Linear(2, 2))
    insert(net[0], nn.Linear(2, 2))
    insert(net[2], nn.Linear(2, 2))
    assert layer_paths(net) == ["0", "1.0", "2.inserted_0", "3"]
    assert layer_paths(net[0]) == [""]


def test_one_kind_stops_computing_and_the_others_go_on() -> None:
    layer, alone = nn.Linear(2, 2), nn.Linear(2, 2)
    reparameterise(layer, "weight", Plus())
    reparameterise(layer, "weight", Times(2.0))
    reparameterise(alone, "weight", Times(2.0))
    stop_computing(layer, Plus)
    assert list(layer.state_dict()) == list(alone.state_dict())
    torch.testing.assert_close(layer.weight, 2.0 * layer._parameters["weight"])
    stop_computing(layer, Times)
    assert type(layer) is nn.Linear
    stop_computing(layer, Times)
