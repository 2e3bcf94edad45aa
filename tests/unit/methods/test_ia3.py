"""(IA)^3 against PEFT's own layers."""

from __future__ import annotations

import pytest
import torch
from peft import IA3Config
from torch import nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.channel import ChannelScale
from acclimate.methods.ia3 import IA3
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests.unit.methods.adapters import LAYERS, around, fill, made, parameter


@pytest.mark.parametrize("of", ["outputs", "inputs"])
@pytest.mark.parametrize("kind", LAYERS)
def test_it_is_what_peft_computes(kind: str, of: str) -> None:
    layer, x = made(kind)
    feedforward = ["layer"] if of == "inputs" else []
    theirs = around(layer, IA3Config(target_modules=["layer"], feedforward_modules=feedforward))
    plain = layer(x).detach()
    tuner = attach(IA3(of=of), {"q": nn.Sequential(layer)})
    assert torch.equal(layer(x), plain)
    ours, other = parameter(layer, "scale"), theirs.ia3_l["default"]
    assert torch.equal(ours, torch.ones_like(ours))
    assert ours.numel() == other.numel()
    fill(ours)
    other.data.copy_(ours.view_as(other))
    torch.testing.assert_close(layer(x), theirs(x), atol=1e-5, rtol=1e-5)
    weight = torch.randn_like(plain)
    for out in (layer(x), theirs(x)):
        (out * weight).sum().backward()
    torch.testing.assert_close(ours.grad, other.grad.view_as(ours), atol=1e-4, rtol=1e-5)
    tuner.fold()
    theirs.merge()
    base = theirs.get_base_layer()
    torch.testing.assert_close(layer.weight, base.weight, atol=1e-6, rtol=1e-5)
    if layer.bias is not None:
        torch.testing.assert_close(layer.bias, base.bias, atol=1e-6, rtol=1e-5)


def test_it_has_half_the_numbers_of_channels_and_its_own_rate_beside_them() -> None:
    alone, beside = (nn.Sequential(nn.Linear(4, 3)) for _ in range(2))
    assert attach(IA3(), {"q": alone}).trainable_parameters == 3
    tuner = attach(chain(ChannelScale(rate=2.0), IA3(rate=5.0)), {"q": beside})
    assert tuner.trainable_parameters == 3 + 2 * 3
    assert sorted(scale for scale in tuner.scales.values() if scale) == [2.0, 2.0, 5.0]


def test_inputs_of_a_convolution_in_groups_are_refused() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2))
    attach(IA3(), {"q": net}).fold()
    with pytest.raises(SurgeryError, match="`ia3` cannot scale the inputs of `q:0`, a convolution in groups"):
        attach(IA3(of="inputs"), {"q": net})


def test_a_rate_is_positive() -> None:
    with pytest.raises(ConfigError, match=r"ia3\.rate is 0"):
        IA3(rate=0)
