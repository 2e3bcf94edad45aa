from __future__ import annotations

import pytest
import torch
from torch import nn

from acclimate.errors import SurgeryError
from acclimate.methods.bitfit import BitFit
from acclimate.methods.channel import ChannelScale
from acclimate.methods.freeze import Freeze
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests.cases import agent


def trained(model: object, method: BitFit) -> set[str]:
    seam = Seam(model, method)
    return {path for net in seam.tuner.nets for path, p in net.named_parameters() if seam.tuner.scales[p] > 0}


def test_what_is_trained() -> None:
    assert trained(agent("ppo-mlp", steps=0), BitFit(on="actor")) >= {"log_std", "mlp_extractor.value_net.0.weight"}
    assert trained(agent("ppo-mlp", steps=0), BitFit()) == {
        "log_std",
        "mlp_extractor.policy_net.0.bias",
        "mlp_extractor.policy_net.2.bias",
        "mlp_extractor.value_net.0.bias",
        "mlp_extractor.value_net.2.bias",
        "action_net.bias",
        "value_net.bias",
    }


def test_of_a_normalisation_the_shift_is_trained() -> None:
    model = agent("crossq-mlp", steps=0)
    names = trained(model, BitFit())
    assert all(name.endswith("bias") for name in names)
    normalisers = [name for name, module in model.actor.named_modules() if "Renorm" in type(module).__name__]
    assert normalisers
    assert {f"{name}.bias" for name in normalisers} <= names


def test_one_step_fits_an_offset_in_closed_form() -> None:
    """The bias that minimises mean |W x + b - y|^2 / 2 is b + mean(y - W x - b): one step of rate 1."""
    torch.manual_seed(0)
    layer, x, y = nn.Linear(3, 2), torch.randn(6, 3), torch.randn(6, 2)
    weight, best = layer.weight.detach().clone(), (y - x @ layer.weight.detach().T).mean(0)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    tuner = attach(BitFit(), {"q": nn.Sequential(layer)}, optimizer=optimizer)
    (0.5 * (layer(x) - y).square().sum(1).mean()).backward()
    optimizer.step()
    tuner.step()
    torch.testing.assert_close(layer.bias.detach(), best)
    assert torch.equal(layer.weight, weight)


def test_without_a_bias_it_has_nothing_to_do() -> None:
    with pytest.raises(SurgeryError, match="`bitfit` on `q:0` constrains 0 trainable weights: it finds nothing there"):
        attach(BitFit(on="q:0"), {"q": nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1))})


@pytest.mark.parametrize("other", [ChannelScale(), Freeze(on="*:*.bias")])
def test_who_froze_the_biases_is_named(other: Freeze | ChannelScale) -> None:
    with pytest.raises(SurgeryError, match=rf"`bitfit` .*`{other.name}` froze|`bitfit` and `{other.name}` together"):
        Seam(agent("dqn-mlp", steps=0), chain(BitFit(), other))
