from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.channel import ChannelScale
from acclimate.methods.fisher_channels import FisherChannels
from acclimate.nets.experience import Batch
from acclimate.nets.outputs import Gaussian
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.context import Context
from acclimate.tuning.method import chain
from tests.cases import agent, context

LOG_STD = torch.tensor([0.0, -2.0, -1.0, 1.0])
"""Of a linear policy whose channels then have information in proportion to 1 / std^2: 1, 0, then 2, are the first."""


def policy() -> tuple[nn.Linear, Context]:
    torch.manual_seed(0)
    return nn.Linear(3, 4), Context(target=lambda steps: Batch(torch.ones(steps, 3)))


def reading(mean: Tensor) -> Gaussian:
    return Gaussian(mean, LOG_STD)


@pytest.mark.parametrize(("share", "trained"), [(0.01, [1]), (0.5, [1, 2]), (0.75, [0, 1, 2]), (1.0, [0, 1, 2, 3])])
def test_only_the_most_important_rows_move(share: float, trained: list[int]) -> None:
    """Moments of before and weight decay would move the others."""
    layer, data = policy()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(2):
        layer(torch.ones(2, 3)).sum().backward()
        optimizer.step()
    before = layer.weight.detach().clone(), layer.bias.detach().clone()
    tuner = attach(
        FisherChannels(share=share, steps=4),
        {"actor": nn.Sequential(layer)},
        optimizer=optimizer,
        outputs={"actor": reading},
        context=data,
    )
    assert data.charged == 4
    assert tuner.trainable_parameters == len(trained) * (3 + 1)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(2, 3)).square().sum().backward()
        optimizer.step()
        tuner.step()
    moved = [not torch.equal(row, old) for row, old in zip(layer.weight, before[0], strict=True)]
    shifted = [not torch.equal(row, old) for row, old in zip(layer.bias, before[1], strict=True)]
    assert [c for c, did in enumerate(moved) if did] == trained
    assert shifted == moved


@pytest.mark.parametrize(("within", "share", "kept"), [("network", 0.25, [6, 0]), ("layer", 0.34, [4, 1])])
def test_a_share_of_the_network_or_of_each_layer(within: str, share: float, kept: list[int]) -> None:
    """Of 6 + 2 channels two are trained, which the last layer wins by its large inputs, or two of 6 and one of 2."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 2))
    with torch.no_grad():
        net[0].weight.fill_(10.0)
        net[2].weight.fill_(0.01)
    data = Context(target=lambda steps: Batch(torch.ones(steps, 2)))
    tuner = attach(
        FisherChannels(share=share, within=within, steps=2),
        {"actor": net},
        outputs={"actor": lambda mean: Gaussian(mean, torch.zeros(2))},
        context=data,
    )
    state = tuner.composition.parts[0].states["actor"]
    assert [len(state[layer.weight][0]) for layer in (net[0], net[2])] == kept


def test_states_are_read_as_the_network_reads_them_now() -> None:
    layer, data = policy()
    tuner = attach(FisherChannels(steps=2), {"actor": nn.Sequential(layer)}, outputs={"actor": reading}, context=data)
    seen: list[Tensor] = []

    def watched(module: nn.Module, batch: Batch) -> Gaussian:
        seen.append(batch.observations)
        return reading(module(batch.observations))

    class Halved:
        def __call__(self, observations: Tensor) -> Tensor:
            return observations * 2.0

        def back(self, observations: Tensor) -> Tensor:
            return observations / 2.0

    net = dataclasses.replace(tuner.nets[0], seen_as=Halved(), apply=watched)
    FisherChannels(steps=2).init(net, data)
    assert all(torch.equal(x, torch.full((1, 3), 0.5)) for x in seen)
    assert len(seen) == 2


def test_critics_are_refused() -> None:
    model = agent("ppo-mlp", steps=0)
    with pytest.raises(SurgeryError, match=r"`fisher-channels` on `critic`: .* puts out none; choose the actor"):
        Seam(model, FisherChannels(on="critic"), context=context(model))


def test_channels_that_another_method_froze() -> None:
    model = agent("ppo-mlp", steps=0)
    with pytest.raises(SurgeryError, match=r"`fisher-channels` .*: `channel` froze all 6"):
        Seam(model, chain(ChannelScale(), FisherChannels(steps=2)), context=context(model))


@pytest.mark.parametrize("fields", [{"share": 0.0}, {"share": 1.5}, {"steps": 0}, {"std": 0.0}, {"temperature": -1.0}])
def test_what_cannot_be(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"fisher-channels\.{next(iter(fields))} is"):
        FisherChannels(**fields)
