"""LoRA against PEFT's own layers: the same A and B, outputs, gradients and merged weights."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig
from torch import nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.channel import ChannelScale
from acclimate.methods.freeze import Freeze
from acclimate.methods.lora import LoRA
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.context import Context
from acclimate.tuning.method import chain
from tests.cases import agent
from tests.unit.methods.adapters import LAYERS, around, fill, made, parameter


@pytest.mark.parametrize("kind", LAYERS)
def test_it_is_what_peft_computes(kind: str) -> None:
    layer, x = made(kind)
    theirs = around(layer, LoraConfig(r=2, lora_alpha=6, target_modules=["layer"]))
    plain = layer(x).detach()
    tuner = attach(LoRA(rank=2, alpha=6.0), {"q": nn.Sequential(layer)})
    assert torch.equal(layer(x), plain)
    down, up = parameter(layer, "down"), parameter(layer, "up")
    their_down, their_up = (getattr(theirs, name)["default"].weight for name in ("lora_A", "lora_B"))
    fill(down, up)
    their_down.data.copy_(down.view_as(their_down))
    their_up.data.copy_(up.view_as(their_up))
    torch.testing.assert_close(layer(x), theirs(x), atol=1e-5, rtol=1e-5)
    weight = torch.randn_like(plain)
    for out in (layer(x), theirs(x)):
        (out * weight).sum().backward()
    torch.testing.assert_close(down.grad, their_down.grad.view_as(down), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(up.grad, their_up.grad.view_as(up), atol=1e-4, rtol=1e-5)
    assert layer._parameters["weight"].grad is None
    tuner.fold()
    theirs.merge()
    torch.testing.assert_close(layer.weight, theirs.get_base_layer().weight, atol=1e-5, rtol=1e-5)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"][: 1 + (kind != "no-bias")]


def test_the_start_is_drawn_as_pefts_and_zero() -> None:
    """A within +-1/sqrt(in) and filling it, B zero; another seed draws another A."""
    down = []
    for seed in (0, 0, 1):
        layer = nn.Linear(100, 64)
        attach(LoRA(rank=16), {"q": nn.Sequential(layer)}, context=Context(seed=seed))
        down.append(parameter(layer, "down").detach())
        assert not parameter(layer, "up").any()
    assert 0.097 < float(down[0].abs().max()) <= 0.1
    assert float(down[0].std()) == pytest.approx(0.1 / 3**0.5, rel=0.05)
    assert torch.equal(down[0], down[1])
    assert not torch.equal(down[0], down[2])


def test_what_is_trained_and_at_which_rate() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    tuner = attach(LoRA(rank=2, rate=5.0, train_bias=True, on=["q:0", "q:2"]), {"q": net})
    rates = {name: tuner.scales[p] for name, p in net.named_parameters()}
    assert rates == {
        "0.weight": 0.0,
        "0.bias": 1.0,
        "0.computes_weight.0.down": 5.0,
        "0.computes_weight.0.up": 5.0,
        "2.weight": 0.0,
        "2.bias": 1.0,
        "2.computes_weight.0.down": 5.0,
        "2.computes_weight.0.up": 5.0,
    }
    # The head has rank 1 at most, so its A and B have.
    assert tuner.trainable_parameters == 3 + 2 * (4 + 3) + 1 + 1 * (3 + 1)


def test_the_twin_has_equal_numbers_of_its_own() -> None:
    model = agent("sac-mlp", steps=0)
    Seam(model, LoRA(rank=2, on="critic"))
    for ours, theirs in zip(model.critic.parameters(), model.critic_target.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert ours is not theirs


def test_with_channels_in_either_order() -> None:
    """Each takes the weight that the one before it returned: g (W + BA), or gW + BA."""
    torch.manual_seed(0)
    for methods, of in (
        ((LoRA(rank=2, alpha=2.0), ChannelScale()), lambda w, g, d: g * (w + d)),
        ((ChannelScale(), LoRA(rank=2, alpha=2.0)), lambda w, g, d: g * w + d),
    ):
        layer = nn.Linear(4, 3)
        stored = layer.weight.detach().clone()
        tuner = attach(chain(*methods), {"q": nn.Sequential(layer)})
        down, up, scale = (parameter(layer, name) for name in ("down", "up", "scale"))
        fill(down, up, scale)
        expected = of(stored, scale.detach()[:, None], (up @ down).detach())
        torch.testing.assert_close(layer.weight.detach(), expected)
        tuner.fold()
        torch.testing.assert_close(layer.weight.detach(), expected)


def test_frozen_adapters_are_an_error_that_names_who_froze_them() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(SurgeryError, match="`lora` on `q:0` constrains 0 trainable weights: `lora` and `freeze` froze"):
        attach(chain(LoRA(on="q:0"), Freeze(on="q:0")), {"q": net})


@pytest.mark.parametrize("field", [{"rank": 0}, {"alpha": 0.0}, {"rate": -1.0}])
def test_numbers_out_of_range(field: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"lora\.{next(iter(field))} is"):
        LoRA(**field)
