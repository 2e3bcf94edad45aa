from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError
from acclimate.methods.channel import ChannelScale
from acclimate.methods.mixout import Mixing, Mixout
from acclimate.nets.net import Acting
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests.cases import agent


def away(net: nn.Module, by: float = 1.0) -> None:
    """Move what was pretrained to somewhere else."""
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith(("weight", "bias")):
                parameter.add_(by * torch.randn_like(parameter))


def test_each_entry_is_the_formula() -> None:
    """m = 1: (theta - p theta0) / (1 - p); m = 0: theta0, and both occur within a row and within a column."""
    torch.manual_seed(0)
    layer = nn.Linear(20, 20)
    before = layer.weight.detach().clone()
    attach(Mixout(p=0.4, on="q"), {"q": nn.Sequential(layer)})
    away(layer)
    theta = layer._parameters["weight"].detach()
    mixed = layer.weight.detach()
    kept = (theta - 0.4 * before) / 0.6
    is_kept = torch.isclose(mixed, kept, atol=1e-5)
    is_before = torch.isclose(mixed, before, atol=1e-5)
    assert bool((is_kept | is_before).all())
    assert 0.5 < float(is_kept.float().mean()) < 0.7
    assert all(0 < int(line.sum()) < 20 for line in (*is_before, *is_before.T))
    assert not torch.equal(layer.weight, layer.weight), "a new mask at each pass"


def test_the_mean_is_theta() -> None:
    """E[w] = theta, by the mean of many masks against its standard error sqrt(p / (1 - p)) |theta - theta0|."""
    torch.manual_seed(0)
    theta, before = torch.randn(6, 5), torch.randn(6, 5)
    mixing = Mixing(0.3, before)
    draws = np.stack([mixing(theta).numpy() for _ in range(8000)])
    error = np.sqrt(0.3 / 0.7) * np.abs(theta - before).numpy()
    np.testing.assert_allclose(draws.std(0), error, rtol=0.06)
    assert np.all(np.abs(draws.mean(0) - theta.numpy()) < 4.5 * error / np.sqrt(8000))


def test_the_gradient_passes_where_the_weight_is_kept() -> None:
    """dw/dtheta = m / (1 - p)."""
    theta = torch.randn(4, 4, requires_grad=True)
    mixing = Mixing(0.5, torch.zeros(4, 4), Acting())
    mixing(theta).sum().backward()
    torch.testing.assert_close(theta.grad, mixing.mask / 0.5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(2, 3, 2), (5, 2, 6)),
        (nn.Conv2d(2, 3, 3, bias=False), (5, 2, 8, 8)),
        (nn.Conv3d(2, 3, 2), (5, 2, 3, 3, 3)),
    ],
    ids=["conv1d", "no-bias", "conv3d"],
)
def test_evaluation_and_the_fold_are_theta(layer: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape)
    tuner = attach(chain(Mixout(p=0.5, on="q"), ChannelScale(train_base=True, on="q")), {"q": nn.Sequential(layer)})
    away(layer)
    names = {name for name, _ in layer.named_parameters() if not name.startswith("computes")}
    stored = {name: layer._parameters[name].detach().clone() for name in names}
    layer.eval()
    plain = nn.functional.linear if isinstance(layer, nn.Linear) else layer._conv_forward
    assert torch.equal(layer(x), plain(x, stored["weight"], stored.get("bias")))
    layer.train()
    tuner.fold()
    assert all(torch.equal(value, stored[name]) for name, value in layer.named_parameters())


def test_targets_are_never_mixed_and_actors_of_ppo_keep_their_masks() -> None:
    sac = Seam(agent("sac-mlp"), Mixout(p=0.5, on="*"))
    (critic,) = (net for net in sac.tuner.nets if net.role == "critic")
    critic.module.train()
    away(critic.twin)
    twin = critic.layers()[0].twin
    assert torch.equal(twin.weight, twin._parameters["weight"])
    ppo = Seam(agent("ppo-mlp"), Mixout(p=0.5, on="*"))
    actor, values = ppo.tuner.nets
    away(ppo.model.policy)
    ppo.model.policy.train()
    ppo.tuner.rollout()
    first = actor.layers()[0].module
    one = first.weight.detach().clone()
    assert torch.equal(first.weight, one)
    ppo.tuner.rollout()
    assert not torch.equal(first.weight, one)
    assert not torch.equal(values.layers()[0].module.weight, values.layers()[0].module.weight)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_a_probability_is_wanted(p: float) -> None:
    with pytest.raises(ConfigError, match=r"mixout\.p is"):
        Mixout(p=p)
