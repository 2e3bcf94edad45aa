"""The side column by hand: what it reads, how it is blended in, and what is frozen beside it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.residual import Residual
from acclimate.methods.side import Column, Side
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests.cases import agent, batch


def moved(module: nn.Module, blend: float) -> list[Column]:
    torch.manual_seed(1)
    found = [part for part in module.modules() if isinstance(part, Column)]
    for part in found:
        for parameter in part.parameters():
            parameter.data.copy_(0.3 * torch.randn_like(parameter))
        part.blend.data.fill_(blend)
    return found


def blended(part: Column, features: torch.Tensor, units: torch.Tensor) -> np.ndarray:
    """Return (1 - b) h + b (W2 tanh(W1 x + b1) + b2) in numpy."""
    blend, w1, b1, w2, b2 = (p.detach().double().numpy() for p in part.parameters())
    column = np.tanh(features.detach().double().numpy() @ w1.T + b1) @ w2.T + b2
    return (1 - blend) * units.detach().double().numpy() + blend * column


def through(head: nn.Linear, units: np.ndarray) -> np.ndarray:
    weight, bias = (head._parameters[name].detach().double().numpy() for name in ("weight", "bias"))
    return units @ weight.T + bias


@pytest.mark.parametrize("blend", [0.0, 0.4, 1.0])
def test_it_blends_into_what_the_head_reads(blend: float) -> None:
    torch.manual_seed(0)
    q, x = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), torch.randn(5, 4)
    base, first = copy.deepcopy(q), q(x).detach()
    attach(Side(width=7), {"q": q})
    assert torch.equal(q(x), first)
    (part,) = moved(q, blend)
    expected = through(q[2], blended(part, x, base[:2](x)))
    np.testing.assert_allclose(q(x).detach().numpy(), expected, atol=1e-5)


def test_the_blend_has_a_gradient_at_the_start_and_the_column_after_it() -> None:
    """dJ/db = <dJ/dh, s(x) - h>, and dJ/ds = b dJ/dh, which is zero until b has moved."""
    torch.manual_seed(0)
    q, x = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1)), torch.randn(5, 4)
    attach(Side(width=7, train_head=False), {"q": q})
    (part,) = [m for m in q.modules() if isinstance(m, Column)]
    q(x).sum().backward()
    with torch.no_grad():
        column = torch.tanh(x @ part.hidden.weight.T + part.hidden.bias) @ part.out.weight.T + part.out.bias
        gap = column - q[:2](x)
        expected = (gap * q[2]._parameters["weight"]).sum()
    torch.testing.assert_close(part.blend.grad, expected.reshape(1), atol=1e-5, rtol=1e-4)
    assert not part.out.weight.grad.any()


@pytest.mark.parametrize(("train_head", "head"), [(True, 1.0), (False, 0.0)])
def test_what_is_trained(train_head: bool, head: float) -> None:
    q = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    tuner = attach(Side(width=7, rate=5.0, train_head=train_head), {"q": q})
    rates = {name: tuner.scales[p] for name, p in q.named_parameters()}
    assert {name: rate for name, rate in rates.items() if "inserted" not in name} == {
        "0.weight": 0.0,
        "0.bias": 0.0,
        "2.weight": head,
        "2.bias": head,
    }
    assert {rate for name, rate in rates.items() if "inserted" in name} == {5.0}


def test_on_a_policy_and_its_twin() -> None:
    model = agent("td3-mlp")
    seam = Seam(model, Side(width=4))
    net, shown = seam.tuner.nets[0], batch(model)
    (part,), (theirs,) = moved(model.actor, 0.3), moved(model.actor_target, 0.3)
    assert part is not theirs
    units = model.actor.mu[:4](shown.observations)
    expected = np.tanh(through(model.actor.mu[4], blended(part, shown.observations, units)))
    # The pass above ended before the head; the next one reads its own features.
    np.testing.assert_allclose(net.apply(net.module, shown).action.detach().numpy(), expected, atol=1e-5)


def test_features_that_go_straight_into_the_head() -> None:
    torch.manual_seed(0)
    q, x = nn.Sequential(nn.Linear(4, 3)), torch.randn(5, 4)
    attach(chain(Side(width=7), Residual(width=2)), {"q": q})
    (part,) = moved(q, 0.4)
    np.testing.assert_allclose(q(x).detach().numpy(), through(q[0], blended(part, x, x)), atol=1e-5)


def test_a_head_alone_is_an_error() -> None:
    q = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    attach(Residual(width=2), {"q": q})
    with pytest.raises(SurgeryError, match="a head was run without the layers before it"):
        q[2](torch.zeros(1, 6))


@pytest.mark.parametrize("field", [{"width": 0}, {"rate": 0.0}])
def test_numbers_out_of_range(field: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"side\.{next(iter(field))} is"):
        Side(**field)
