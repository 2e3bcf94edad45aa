"""Units, features and weights, against numpy and numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from acclimate.diagnosis import networks
from acclimate.nets.copies import frozen_copy
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.nets.outputs import ActionValues
from acclimate.seam.seam import Seam
from acclimate.tuning.method import chain
from tests.cases import AGENTS, METHODS, MORE_AGENTS, agent, batch, context, refused


def features(rows: int = 40, units: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, units))


def test_dormant_units_by_hand() -> None:
    """Mean activities 4, 0.02, 0, 0: their mean is 1.005, and 0.02 is below a fortieth of it."""
    units = torch.tensor([[6.0, 0.04, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0]])
    assert networks.dormant(units) == 0.75
    assert networks.dormant(units, threshold=0.01) == 0.5
    assert networks.dormant(torch.ones(3, 4)) == 0.0
    pictures = torch.zeros(2, 3, 4, 4)
    pictures[0, 1, 2, 2] = 1.0
    assert networks.dormant(pictures) == pytest.approx(2 / 3), "a channel is a unit"


def test_saturated_units_by_hand() -> None:
    rows = torch.linspace(-1, 1, 20)[:, None]
    units = torch.tanh(torch.cat([1000 * rows, 0.1 * rows, 9 + rows], 1))
    assert networks.saturated(units) == pytest.approx(2 / 3), "one flips between the bounds, one stays at one of them"
    assert networks.saturated(torch.zeros(5, 4)) == 0.0


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_ranks_are_those_of_numpy(rank: int) -> None:
    matrix = features()[:, :rank] @ features(rank, 6, 1)
    spectrum = np.linalg.svd(matrix, compute_uv=False)
    share = spectrum[spectrum > 1e-12 * spectrum[0]] / spectrum.sum()
    expected = np.exp(-(share * np.log(share)).sum())
    seen = torch.as_tensor(matrix)
    assert networks.effective_rank(seen) == pytest.approx(expected)
    assert networks.stable_rank(seen) == pytest.approx((spectrum**2).sum() / spectrum[0] ** 2)
    assert networks.effective_rank(seen) <= rank + 1e-6


def test_ranks_at_their_ends() -> None:
    assert networks.effective_rank(torch.eye(5)) == pytest.approx(5.0)
    assert networks.stable_rank(torch.eye(5)) == pytest.approx(5.0)
    assert networks.effective_rank(torch.zeros(4, 3)) == networks.stable_rank(torch.zeros(4, 3)) == 0.0


def test_alignment_is_the_formula() -> None:
    x, y = features(), features(seed=1)
    x_, y_ = x - x.mean(0), y - y.mean(0)
    expected = np.linalg.norm(y_.T @ x_) ** 2 / (np.linalg.norm(x_.T @ x_) * np.linalg.norm(y_.T @ y_))
    assert networks.cka(torch.as_tensor(x), torch.as_tensor(y)) == pytest.approx(expected)
    turn = np.linalg.qr(features(6, 6, 2))[0]
    assert networks.cka(torch.as_tensor(x), torch.as_tensor(3 * x @ turn + 1)) == pytest.approx(1.0)
    assert networks.cka(torch.as_tensor(x), torch.ones(40, 6)) is None


def test_norms_and_changes_by_hand() -> None:
    assert networks.row_norm(torch.tensor([[3.0, 4.0], [0.0, 1.0]])) == 3.0
    assert networks.relative_change(torch.tensor([[3.0, 5.0]]), torch.tensor([[3.0, 4.0]])) == pytest.approx(0.2)


def network(activation: type[nn.Module]) -> Net:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 8), activation(), nn.Linear(8, 7), activation(), nn.Linear(7, 2))
    for layer in (module[0], module[2]):
        nn.init.constant_(layer.bias, 0.5)
    return Net("q", module, lambda m, b: ActionValues(m(b.observations)), reference=frozen_copy(module))


@pytest.mark.parametrize(("activation", "measure"), [(nn.ReLU, "dormant"), (nn.Tanh, "saturated")])
def test_a_network_is_examined_against_its_copy(activation: type[nn.Module], measure: str) -> None:
    net, seen = network(activation), Batch(torch.randn(50, 3))
    healthy = networks.examine(net, seen, seen)
    assert healthy[f"0/{measure}"] == healthy[f"2/{measure}"] == 0.0
    assert healthy["0/cka"] == pytest.approx(1.0)
    assert healthy["0/change"] == healthy["4/change"] == 0.0
    assert "0/effective_rank" not in healthy, "the last hidden layer's features are what the head reads"
    into = net.module[2](net.module[1](net.module[0](seen.observations)))
    assert healthy["2/preactivation"] == pytest.approx(networks.row_norm(into))
    with torch.no_grad():
        net.module[2].bias[:4] = -100.0
        net.module[4].weight *= 1.5
    sick = networks.examine(net, seen, seen)
    assert sick[f"2/{measure}"] == pytest.approx(4 / 7)
    assert sick["4/change"] == pytest.approx(0.5)
    then, now = (torch.cat([p.flatten() for p in module.parameters()]) for module in (net.reference, net.module))
    assert networks.distance(net) == pytest.approx(float((now - then).norm() / then.norm()))
    assert sick["2/cka"] < 1.0
    assert sick["2/preactivation"] > 10 * healthy["2/preactivation"]


@pytest.mark.parametrize("name", [*AGENTS, *MORE_AGENTS])
def test_every_network_is_examined_and_unchanged(name: str) -> None:
    model = agent(name)
    seam = Seam(model, chain())
    modes = [module.training for module in model.policy.modules()]
    state = torch.random.get_rng_state()
    for net in seam.tuner.nets:
        found = networks.examine(net, batch(model), batch(model))
        assert any(key.endswith("/effective_rank") for key in found), net.role
        assert all(value == 0.0 for key, value in found.items() if key.endswith("/change"))
        aligned = [value for key, value in found.items() if key.endswith("/cka") and value is not None]
        assert aligned == pytest.approx([1.0] * len(aligned), abs=1e-6)
    assert modes == [module.training for module in model.policy.modules()]
    assert torch.equal(state, torch.random.get_rng_state())
    assert not [module for module in model.policy.modules() if module._forward_hooks]


@pytest.mark.parametrize("case", METHODS)
def test_what_methods_added_is_passed_over(case: str) -> None:
    name = next(one for one in (*AGENTS, *MORE_AGENTS) if not refused(case, one))
    model = agent(name)
    shown = batch(model)
    plain = {net.role: set(networks.examine(net, shown, shown)) for net in Seam(model, chain()).tuner.nets}
    model = agent(name)
    for net in Seam(model, METHODS[case], context=context(model)).tuner.nets:
        assert set(networks.examine(net, shown, shown)) <= plain[net.role]
