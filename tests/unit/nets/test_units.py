from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from acclimate.methods.dropout import Dropout
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.nets.outputs import ActionValues
from acclimate.nets.select import Select
from acclimate.nets.units import hidden, readers
from acclimate.seam.seam import Seam
from acclimate.tuning.method import chain
from tests.cases import AGENTS, MORE_AGENTS, agent, batch


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
    torch.testing.assert_close(hidden(net_of(module), Batch(x), activated=False)["0"].tanh(), first)
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
    assert readers(net_of(module), Batch(x)) == {}
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


def test_who_reads_a_perceptron() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    found = readers(net_of(module), Batch(torch.full((6, 3), 1000.0)))
    assert {path: {reader: index.tolist() for reader, index in by.items()} for path, by in found.items()} == {
        "0": {"2": [0, 1, 2, 3]},
        "2": {"4": [0, 1, 2, 3, 4]},
    }
    assert not [part for part in module.modules() if part._forward_hooks or part._forward_pre_hooks]


def test_who_reads_units_and_an_action_side_by_side_and_a_flattened_convolution() -> None:
    seam = Seam(agent("td3-cnn"), chain())
    (critic,) = (net for net in seam.tuner.nets if net.role == "critic")
    found = readers(critic, batch(seam.model))
    extractor = "features_extractor"
    assert found[f"{extractor}.cnn.0"][f"{extractor}.cnn.2"].tolist() == list(range(32))
    last = found[f"{extractor}.cnn.4"][f"{extractor}.linear.0"]
    assert last.tolist() == [channel for channel in range(64) for _ in range(len(last) // 64)]
    assert found[f"{extractor}.linear.0"]["qf0.0"].tolist() == [*range(7), -1, -1]
    assert set(found[f"{extractor}.linear.0"]) == {"qf0.0", "qf1.0"}


def test_both_heads_of_an_actor_read_it_and_a_normalisation_hides_who_reads() -> None:
    sac, crossq = (Seam(agent(name), chain()) for name in ("sac-mlp", "crossq-mlp"))
    assert set(readers(sac.tuner.nets[0], batch(sac.model))["latent_pi.2"]) == {"mu", "log_std"}
    assert not any(readers(crossq.tuner.nets[0], batch(crossq.model)).values())
