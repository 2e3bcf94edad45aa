from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.channel_rates import ChannelRates
from acclimate.nets.experience import Batch
from acclimate.nets.outputs import Gaussian
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import Attached, attach
from acclimate.tuning.context import Context
from tests.cases import agent, context

LOG_STD = torch.tensor([0.0, -2.0, -1.0])
"""Of a linear policy, so that its channels come in the order 0, 2, 1: from the least to the most important."""


def tuned(layer: nn.Linear, optimizer: torch.optim.Optimizer, method: ChannelRates) -> Attached:
    data = Context(
        target=lambda steps: Batch(torch.ones(steps, layer.in_features)),
        source=lambda steps: Batch(torch.ones(steps, layer.in_features)),
    )
    log_std = LOG_STD[: layer.out_features]
    return attach(
        method,
        {"actor": nn.Sequential(layer)},
        optimizer=optimizer,
        outputs={"actor": lambda mean: Gaussian(mean, log_std)},
        context=data,
    )


def test_adam_moves_each_channel_by_its_share_of_the_rate() -> None:
    """Adam's first step is lr * sign(gradient), whatever the gradient's size: scaling that would change nothing."""
    torch.manual_seed(0)
    layer = nn.Linear(2, 3)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    tuner = tuned(layer, optimizer, ChannelRates(least=0.2, most=1.0, steps=2))
    before = layer.weight.detach().clone(), layer.bias.detach().clone()
    (layer(torch.tensor([[1.0, -3.0]])) * torch.tensor([1.0, 50.0, -0.1])).sum().backward()
    optimizer.step()
    tuner.step()
    signs = torch.tensor([[1.0], [1.0], [-1.0]]) * torch.tensor([[1.0, -1.0]])
    expected = -0.01 * torch.tensor([[0.2], [1.0], [0.6]]) * signs
    torch.testing.assert_close(layer.weight.detach() - before[0], expected, atol=1e-6, rtol=1e-4)
    shift = -0.01 * torch.tensor([0.2, 1.0, 0.6]) * torch.tensor([1.0, 1.0, -1.0])
    torch.testing.assert_close(layer.bias.detach() - before[1], shift, atol=1e-6, rtol=1e-4)


def test_what_happens_between_two_steps_is_left_alone() -> None:
    layer = nn.Linear(1, 3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    tuner = tuned(layer, optimizer, ChannelRates(least=0.5, most=1.0, steps=2))
    with torch.no_grad():
        layer.weight.add_(4.0)
    before = layer.weight.detach().clone()
    layer.weight.sum().backward()
    optimizer.step()
    tuner.step()
    torch.testing.assert_close(layer.weight.detach() - before, -torch.tensor([[0.5], [1.0], [0.75]]))


def test_a_factor_of_zero_keeps_a_channel_bit_for_bit_and_one_changes_nothing() -> None:
    torch.manual_seed(0)
    layer, plain = nn.Linear(2, 3), nn.Linear(2, 3)
    plain.load_state_dict(layer.state_dict())
    before = layer.weight.detach().clone()
    optimizers = [torch.optim.AdamW(one.parameters(), lr=0.1, weight_decay=0.5) for one in (layer, plain)]
    tuner = tuned(layer, optimizers[0], ChannelRates(least=1.0, most=0.0, world="source", steps=2))
    assert tuner.context.charged == 2
    assert tuner.trainable_parameters == 2 * (2 + 1)
    for _ in range(3):
        for one, optimizer in zip((layer, plain), optimizers, strict=True):
            optimizer.zero_grad()
            (one.weight * torch.tensor([[1.0, 2.0], [3.0, -4.0], [5.0, 6.0]])).sum().backward()
            optimizer.step()
        tuner.step()
    assert torch.equal(layer.weight[1], before[1])
    assert torch.equal(layer.weight[0], plain.weight[0])
    assert not torch.equal(layer.weight[2], plain.weight[2])


def test_an_only_channel_counts_as_the_most_important() -> None:
    layer = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    tuner = tuned(layer, optimizer, ChannelRates(least=0.1, most=0.7, steps=2))
    before: Tensor = layer.bias.detach().clone()
    layer.bias.sum().backward()
    optimizer.step()
    tuner.step()
    torch.testing.assert_close(layer.bias.detach() - before, torch.tensor([-0.7]))


def test_critics_are_refused() -> None:
    model = agent("sac-mlp", steps=0)
    with pytest.raises(SurgeryError, match="`channel-rates` on `critic`"):
        Seam(model, ChannelRates(on="*"), context=context(model))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"least": -0.1}, r"channel-rates\.least is -0\.1"),
        ({"most": float("inf")}, r"channel-rates\.most is inf"),
        ({"least": 1.0, "most": 1.0}, r"channel-rates\.least and channel-rates\.most are both 1\.0"),
        ({"steps": 0}, r"channel-rates\.steps is 0"),
    ],
)
def test_what_cannot_be(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ChannelRates(**fields)
