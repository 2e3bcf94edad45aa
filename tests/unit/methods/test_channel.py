from __future__ import annotations

import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.channel import ChannelScale
from acclimate.methods.freeze import Freeze
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain


def put(layer: nn.Module, scale: torch.Tensor, shift: torch.Tensor) -> None:
    for name, parameter in layer.named_parameters():
        if name.endswith(("scale", "shift")):
            parameter.data.copy_(scale if name.endswith("scale") else shift)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(4, 3), (5, 4)),
        (nn.Conv2d(2, 3, 3, stride=2, padding=1), (5, 2, 8, 8)),
        (nn.Conv1d(2, 3, 2), (5, 2, 6)),
        (nn.Conv2d(2, 3, 3, bias=False), (5, 2, 8, 8)),
    ],
    ids=["linear", "conv2d", "conv1d", "no-bias"],
)
def test_scales_and_shifts_what_a_layer_puts_out(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """y <- g y + b on the layer's own output, before and after the fold; without a bias y <- g y."""
    torch.manual_seed(0)
    x, scale, shift = torch.randn(shape), torch.randn(3), torch.randn(3)
    y = layer(x)
    names, held = list(layer.state_dict()), [id(p) for p in layer.parameters()]
    tuner = attach(ChannelScale(), {"q": nn.Sequential(layer)})
    assert torch.equal(layer(x), y)
    put(layer, scale, shift)
    along = (1, -1, *(1,) * (y.dim() - 2))
    expected = y * scale.view(along) + (shift.view(along) if layer.bias is not None else 0.0)
    torch.testing.assert_close(layer(x), expected)
    tuner.fold()
    torch.testing.assert_close(layer(x), expected)
    assert list(layer.state_dict()) == names
    assert [id(p) for p in layer.parameters()] == held


def test_gradients_are_the_chain_rule() -> None:
    """dJ/dg_c = sum_i dJ/dy_ic (W x_i + bias)_c and dJ/db_c = sum_i dJ/dy_ic, and none for the frozen weights."""
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 3), torch.randn(5, 4)
    plain = layer(x).detach()
    attach(ChannelScale(), {"q": nn.Sequential(layer)})
    weight = torch.randn(5, 3)
    (layer(x) * weight).sum().backward()
    grads = {name.rpartition(".")[2]: p.grad for name, p in layer.named_parameters() if p.grad is not None}
    torch.testing.assert_close(grads["scale"], (weight * plain).sum(0))
    torch.testing.assert_close(grads["shift"], weight.sum(0))
    assert set(grads) == {"scale", "shift"}


def test_what_is_trained_and_at_which_rate() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    net.register_parameter("log_std", nn.Parameter(torch.zeros(2)))
    tuner = attach(ChannelScale(rate=10.0, on=["q:0", "q:log_std"]), {"q": net})
    rates = {name: tuner.scales[p] for name, p in net.named_parameters()}
    assert rates == {
        "log_std": 1.0,
        "0.weight": 0.0,
        "0.bias": 0.0,
        "0.computes_weight.0.scale": 10.0,
        "0.computes_bias.0.shift": 10.0,
        "2.weight": 1.0,
        "2.bias": 1.0,
    }
    assert tuner.trainable_parameters == 2 + 3 + 3 + 8
    assert [group["lr"] for group in tuner.groups(lr=0.1)] == [0.1, 1.0]


def test_twice_is_the_product() -> None:
    torch.manual_seed(0)
    layer, x, scale = nn.Linear(4, 3), torch.randn(5, 4), torch.tensor([2.0, 3.0, 4.0])
    y = layer(x)
    tuner = attach(chain(ChannelScale(), ChannelScale()), {"q": nn.Sequential(layer)})
    put(layer, scale, torch.zeros(3))
    torch.testing.assert_close(layer(x), y * scale**2)
    tuner.fold()
    torch.testing.assert_close(layer(x), y * scale**2)


def test_a_frozen_scale_is_an_error_that_names_who_froze_it() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(
        SurgeryError, match="`channel` on `q:0` constrains 0 trainable weights: `channel` and `freeze` froze all 4"
    ):
        attach(chain(ChannelScale(on="q:0"), Freeze(on="q:0")), {"q": net})


def test_a_rate_is_positive() -> None:
    with pytest.raises(ConfigError, match=r"channel\.rate is 0"):
        ChannelScale(rate=0)
