"""What frozen first layers put out of a rollout is computed once, and nothing comes out otherwise for it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from acclimate.engine.arrays.activations import activation
from acclimate.engine.arrays.flat import Flat
from acclimate.engine.arrays.perceptron import dense_layers
from acclimate.engine.arrays.split import Split
from acclimate.engine.choice import attach
from acclimate.engine.on_policy import inputs
from acclimate.engine.on_policy.inputs import Inputs, Kept
from acclimate.methods.channel import ChannelScale
from acclimate.methods.freeze import Freeze
from acclimate.methods.full import Full
from acclimate.methods.kl import KLToPrior
from acclimate.methods.last_layer import LastLayer
from acclimate.methods.unfreeze import Unfreeze
from acclimate.nets.net import Net
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method, chain
from tests.cases import agent
from tests.unit.engine.alike import A2C, ACTIONS, PPO, both

WIDE = {"net_arch": [72, 96, 12]}
LOWER = Freeze(on=("*:*.0.*", "*:*.2.*"))


@dataclass(frozen=True, kw_only=True)
class Meddling(Full):
    """Writes weights that are frozen, after each step."""

    name: ClassVar[str] = "meddling"

    def after(self, net: Net, state: Any, signals: Any) -> None:
        layers = [layer.module for layer in net.layers()]
        if signals.updates % 3 == 0:
            with torch.no_grad():
                layers[0].weight.mul_(1.01)


METHODS: dict[str, Method] = {
    "last-layer": LastLayer(),
    "lower": LOWER,
    "lower-of-actor": Freeze(on=("actor:*.0.*", "actor:*.2.*")),
    "lower-kl": chain(LOWER, KLToPrior()),
    "lower-channel": chain(ChannelScale(train_base=True), LOWER),
    "actor": Freeze(on="actor"),
    "critic": Freeze(on="critic"),
    "thawing": Unfreeze(every=0.2),
    "meddling": chain(LOWER, Meddling()),
}


@pytest.fixture
def widths(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Return how many numbers actor and critic read of a row, each time that a rollout is laid out."""
    noted: list[tuple[int, ...]] = []
    of = Kept.of

    def noting(self: Kept, x: Any) -> Inputs:
        found = of(self, x)
        noted.append((found.actor.shape[1], found.critic.shape[1]))
        return found

    monkeypatch.setattr(Kept, "of", noting)
    return noted


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_updates_are_those_of_sb3(algorithm: type, method: str, widths: list[tuple[int, ...]]) -> None:
    rollouts = 15 if algorithm is PPO else 300
    assert both(algorithm, "box", METHODS[method], rollouts=rollouts, policy_kwargs=dict(WIDE)).distance < 1e-8
    assert set(widths) - {(5, 5)}


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("activation_fn", [nn.Tanh, nn.ReLU, nn.ELU])
def test_all_actions_and_some_activations(actions: str, activation_fn: Any, widths: list[tuple[int, ...]]) -> None:
    kwargs = {**WIDE, "activation_fn": activation_fn}
    assert both(PPO, actions, LOWER, rollouts=5, policy_kwargs=kwargs).distance < 1e-8
    assert set(widths) == {(96, 96)}


def test_what_thaws_is_computed_anew(widths: list[tuple[int, ...]]) -> None:
    assert both(PPO, "box", Unfreeze(every=0.3), rollouts=6, policy_kwargs=dict(WIDE)).distance < 1e-8
    assert list(dict.fromkeys(widths)) == [(12, 12), (96, 96), (5, 5)]


def test_weights_that_are_written_between_steps_are_seen(widths: list[tuple[int, ...]]) -> None:
    assert both(PPO, "box", METHODS["meddling"], rollouts=2, policy_kwargs=dict(WIDE)).distance < 1e-8
    assert len(widths) > 2


def test_what_needs_more_room_than_there_is_is_not_kept(
    widths: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # 64 rows of 12 numbers, and a copy of them, in double precision.
    monkeypatch.setattr(inputs, "LIMIT", 2 * 64 * 12 * 8)
    assert both(PPO, "box", LOWER, rollouts=3, policy_kwargs=dict(WIDE)).distance < 1e-8
    assert both(PPO, "box", LastLayer(), rollouts=3, policy_kwargs=dict(WIDE)).distance < 1e-8
    assert widths == [(5, 5)] * 3 + [(12, 12)] * 3


def test_in_float32_it_drifts_no_further_than_sb3_from_itself() -> None:
    def disturb(model: Any) -> None:
        with torch.no_grad():
            for parameter in model.policy.parameters():
                parameter.copy_(torch.nextafter(parameter, torch.full_like(parameter, torch.inf)))

    ours = both(PPO, "box", LOWER, dtype=torch.float32, policy_kwargs=dict(WIDE))
    itself = both(PPO, "box", LOWER, dtype=torch.float32, disturb=disturb, policy_kwargs=dict(WIDE))
    assert ours.updates == 300
    assert ours.distance <= 3 * itself.distance


def test_the_reason_says_how_much_is_kept() -> None:
    for method, said in ((Freeze(on="actor"), True), (Full(), False)):
        model = agent("ppo-mlp")
        _, why = attach(Seam(model, method), type(model), "auto")
        assert ("kept through a rollout" in why) == said


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 90), min_size=2, max_size=5),
    frozen=st.integers(0, 4),
    rows=st.integers(1, 300),
    most=st.one_of(st.none(), st.integers(1, 90)),
    seed=st.integers(0, 1000),
)
def test_the_parts_are_the_whole(sizes: list[int], frozen: int, rows: int, most: int | None, seed: int) -> None:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after).double(), nn.Tanh()]
    assert activation(layers[-1]) is not None
    for layer in layers[: 2 * frozen]:
        layer.requires_grad_(False)
    flat = Flat([p for layer in layers for p in layer.parameters()])
    side = Split(dense_layers(layers), flat)  # type: ignore[arg-type]
    side.worth, side.most = 1, most
    side.look()
    assert side.cut <= frozen
    x = np.random.default_rng(seed).normal(size=(rows, sizes[0]))
    below = side.lower(x).copy()
    assert below.shape[1] <= (most or 90) or not side.cut
    out = side.upper(below).copy()
    np.testing.assert_allclose(out, side.forward(x), rtol=1e-12)
    gradient = np.random.default_rng(seed + 1).normal(size=out.shape)
    side.backward(x, gradient.copy())
    expected = flat.gradient.copy()
    flat.gradient.fill(0.0)
    side.upper(below)
    side.back(below, gradient.copy())
    np.testing.assert_allclose(flat.gradient, expected, rtol=1e-10, atol=1e-12)
