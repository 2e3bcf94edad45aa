"""DoRA against PEFT's own layers, and its gradient against autograd with the norm held."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig
from torch import nn

from acclimate.errors import ConfigError
from acclimate.methods.dora import DoRA
from acclimate.tuning.attach import attach
from tests.unit.methods.adapters import LAYERS, around, fill, made, parameter


@pytest.mark.parametrize("kind", LAYERS)
def test_it_is_what_peft_computes(kind: str) -> None:
    layer, x = made(kind)
    theirs = around(layer, LoraConfig(r=2, lora_alpha=6, use_dora=True, target_modules=["layer"]))
    plain = layer(x).detach()
    tuner = attach(DoRA(rank=2, alpha=6.0), {"q": nn.Sequential(layer)})
    assert torch.equal(layer(x), plain)
    ours = [parameter(layer, name) for name in ("down", "up", "size")]
    other = [theirs.lora_A["default"].weight, theirs.lora_B["default"].weight]
    other.append(theirs.lora_magnitude_vector["default"].weight)
    torch.testing.assert_close(ours[2].flatten(), other[2].flatten())
    fill(*ours)
    for mine, their in zip(ours, other, strict=True):
        their.data.copy_(mine.view_as(their))
    torch.testing.assert_close(layer(x), theirs(x), atol=1e-5, rtol=1e-4)
    weight = torch.randn_like(plain)
    for out in (layer(x), theirs(x)):
        (out * weight).sum().backward()
    for mine, their in zip(ours, other, strict=True):
        torch.testing.assert_close(mine.grad, their.grad.view_as(mine), atol=1e-4, rtol=1e-4)
    tuner.fold()
    theirs.merge()
    torch.testing.assert_close(layer.weight, theirs.get_base_layer().weight, atol=1e-5, rtol=1e-4)


def test_the_size_is_the_norm_of_each_row_and_stays_it() -> None:
    """Whatever A and B are, the rows of the weight have the norms that m says."""
    layer, _ = made("linear")
    stored = layer.weight.detach().clone()
    attach(DoRA(rank=2), {"q": nn.Sequential(layer)})
    fill(parameter(layer, "down"), parameter(layer, "up"))
    torch.testing.assert_close(layer.weight.detach().norm(dim=1), stored.norm(dim=1))
    with torch.no_grad():
        parameter(layer, "size").mul_(3.0)
    torch.testing.assert_close(layer.weight.detach().norm(dim=1), 3.0 * stored.norm(dim=1))


def test_a_row_of_zeros_stays_zero() -> None:
    layer, x = made("linear")
    with torch.no_grad():
        layer.weight[2] = 0.0
    attach(DoRA(rank=2), {"q": nn.Sequential(layer)})
    assert not layer.weight[2].any()
    layer(x).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters() if p.grad is not None)


def test_its_errors_have_its_name() -> None:
    with pytest.raises(ConfigError, match=r"dora\.rank is 0"):
        DoRA(rank=0)
