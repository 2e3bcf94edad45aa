from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError
from acclimate.methods.film import FiLM, Generator, in_context
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.context import Context
from tests.cases import agent


def generators(module: nn.Module) -> Iterator[Generator]:
    return (part for part in module.modules() if isinstance(part, Generator))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.Linear(4, 3), (5, 4)), (nn.Conv2d(2, 3, 3), (5, 2, 8, 8)), (nn.Linear(4, 3, bias=False), (5, 4))],
    ids=["linear", "conv", "no-bias"],
)
def test_the_formula_in_numpy(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """y <- (1 + g) y + b with (g, b) = V tanh(U z + u) + v, before and after the fold."""
    torch.manual_seed(0)
    x, z = torch.randn(shape), (0.5, -2.0)
    plain, names = layer(x).detach().numpy(), list(layer.state_dict())
    tuner = attach(FiLM(context=z, hidden=4), {"q": nn.Sequential(layer)})
    assert np.array_equal(layer(x).detach().numpy(), plain)
    (generator,) = generators(layer)
    for parameter in generator.parameters():
        parameter.data.normal_()
    weights = {name: p.detach().numpy() for name, p in generator.named_parameters()}
    units = np.tanh(weights["enter"] @ np.array(z) + weights["enter_shift"])
    made = weights["leave"] @ units + weights["leave_shift"]
    along = (1, -1, *(1,) * (plain.ndim - 2))
    expected = plain * (1 + made[:3]).reshape(along)
    if layer.bias is not None:
        expected = expected + made[3:].reshape(along)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=2e-5, atol=2e-5)
    tuner.fold()
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=2e-5, atol=2e-5)
    assert list(layer.state_dict()) == names


def test_one_generator_learns_several_contexts() -> None:
    """y = x in one world and y = 3 - 2 x in the other: one scale and shift fits neither, a function of z both."""
    torch.manual_seed(0)
    x = torch.linspace(-1.0, 1.0, 9)[:, None]
    wanted = {(-1.0,): x, (1.0,): 3.0 - 2.0 * x}
    layer = nn.Linear(1, 1)
    nn.init.ones_(layer.weight)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    tuner = attach(FiLM(context=(-1.0,), hidden=4), {"q": nn.Sequential(layer)}, optimizer=optimizer)
    for _ in range(400):
        optimizer.zero_grad()
        for z, y in wanted.items():
            in_context(layer, z)
            (layer(x) - y).square().mean().backward()
        optimizer.step()
        tuner.step()
    for z, y in wanted.items():
        in_context(layer, z)
        torch.testing.assert_close(layer(x).detach(), y, atol=0.02, rtol=0.0)
    tuner.fold()
    torch.testing.assert_close(layer(x).detach(), wanted[1.0,], atol=0.02, rtol=0.0)
    assert type(layer) is nn.Linear


def test_a_twin_begins_with_the_same_generator_and_layers_with_others() -> None:
    seam = Seam(agent("td3-mlp", steps=0), FiLM(context=(1.0, 2.0)), context=Context(seed=3))
    again = Seam(agent("td3-mlp", steps=0), FiLM(context=(1.0, 2.0)), context=Context(seed=3))
    other = Seam(agent("td3-mlp", steps=0), FiLM(context=(1.0, 2.0)), context=Context(seed=4))
    entries = [[g.enter.detach() for net in s.tuner.nets for g in generators(net.module)] for s in (seam, again, other)]
    assert all(torch.equal(a, b) for a, b in zip(*entries[:2], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(entries[0], entries[2], strict=True))
    assert not torch.equal(entries[0][0], entries[0][1])
    for net in seam.tuner.nets:
        assert net.twin is not None
        for one, two in zip(generators(net.module), generators(net.twin), strict=True):
            assert one is not two
            assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_only_the_generators_are_trained() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    tuner = attach(FiLM(context=(1.0,), hidden=5, rate=3.0), {"q": net})
    rates = {path.rpartition(".")[2]: tuner.scales[p] for path, p in net.named_parameters()}
    assert rates == {
        "weight": 0.0,
        "bias": 0.0,
        "enter": 3.0,
        "enter_shift": 3.0,
        "leave": 3.0,
        "leave_shift": 3.0,
    }
    assert tuner.trainable_parameters == (5 + 5 + 6 * 5 + 6) + (5 + 5 + 4 * 5 + 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"context": ()}, r"film\.context"),
        ({"context": (float("nan"),)}, r"film\.context"),
        ({"context": (1.0,), "hidden": 0}, r"film\.hidden is 0"),
        ({"context": (1.0,), "rate": 0.0}, r"film\.rate is 0"),
    ],
)
def test_what_cannot_be(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FiLM(**fields)


def test_a_context_of_another_size_is_refused() -> None:
    net = nn.Sequential(nn.Linear(1, 1))
    attach(FiLM(context=(1.0, 2.0)), {"q": net})
    with pytest.raises(ConfigError, match="has not 2 numbers"):
        in_context(net, (1.0,))
