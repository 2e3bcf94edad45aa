from __future__ import annotations

import pytest
import torch
from tests.cases import AGENTS, MORE_AGENTS, agent, batch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from acclimate.method import Batch, chain
from acclimate.methods.dropout import Dropout
from acclimate.net import Net
from acclimate.outputs import ActionValues
from acclimate.seam import Seam
from acclimate.select import Select
from acclimate.units import hidden


class Functional(nn.Module):
    """Its activations are functions, so nothing tells where they are."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(F.relu(self.first(x)))


def net_of(module: nn.Module) -> Net:
    return Net("q", module, lambda network, data: ActionValues(network(data.observations)))


def test_units_of_a_perceptron_are_those_of_its_activations() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    x = torch.randn(6, 3)
    first = torch.tanh(x @ module[0].weight.T + module[0].bias)
    second = (first @ module[2].weight.T + module[2].bias).clamp(min=0.0)
    seen = hidden(net_of(module), Batch(x))
    assert list(seen) == ["0", "2"], "the head is left out"
    torch.testing.assert_close(seen["0"], first)
    torch.testing.assert_close(seen["2"], second)
    assert not any(value.requires_grad for value in seen.values())
    assert hidden(net_of(module), Batch(x), gradients=True)["2"].requires_grad
    assert not [part for part in module.modules() if part._forward_hooks]


def test_an_activation_that_layers_share_and_one_that_is_a_function() -> None:
    relu = nn.ReLU()
    module = nn.Sequential(nn.Linear(3, 4), relu, nn.Linear(4, 5), relu, nn.Linear(5, 2))
    x = torch.randn(6, 3)
    seen = hidden(net_of(module), Batch(x))
    torch.testing.assert_close(seen["0"], module[:2](x))
    torch.testing.assert_close(seen["2"], module[:4](x))
    loose = Functional()
    torch.testing.assert_close(hidden(net_of(loose), Batch(x))["first"], loose.first(x))


def test_what_is_read_is_the_network_as_it_acts() -> None:
    """Without masks and without moving statistics; modes are those of before."""
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2)).train()
    module[3].eval()
    x = torch.randn(6, 3)
    before = module[1].running_mean.clone()
    hidden(net_of(module), Batch(x))
    assert torch.equal(module[1].running_mean, before)
    assert [part.training for part in module] == [True, True, True, False, True]


@pytest.mark.parametrize("name", [*AGENTS, *MORE_AGENTS])
def test_every_hidden_layer_of_every_agent(name: str) -> None:
    """Each has a row for each row of the batch and a column for each unit, in the reference too."""
    seam = Seam(agent(name), chain())
    shown = batch(seam.model)
    for net in seam.tuner.nets:
        layers = [layer for layer in net.layers() if not layer.head]
        seen = hidden(net, shown)
        assert list(seen) == [layer.path for layer in layers]
        for layer in layers:
            assert seen[layer.path].shape[:2] == (len(shown), layer.module.weight.shape[0])
        past = hidden(net, shown, net.reference)
        assert all(torch.equal(seen[path], past[path]) for path in seen)


def test_the_selection_narrows_and_masks_are_left_out() -> None:
    seam = Seam(agent("sac-mlp"), Dropout(p=0.9))
    net, shown = seam.tuner.nets[1], batch(seam.model)
    net.module.train()
    narrow = net.narrow(Select("critic:qf0.2"))
    assert list(hidden(narrow, shown)) == ["qf0.2"]
    torch.testing.assert_close(hidden(narrow, shown)["qf0.2"], hidden(net, shown, net.reference)["qf0.2"])
