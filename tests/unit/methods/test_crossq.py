"""Agents of CrossQ, which normalise by themselves, are tuned as they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from sb3_contrib.common.torch_layers import BatchRenorm1d
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.methods.channel import ChannelScale
from acclimate.methods.freeze import Freeze
from acclimate.methods.full import Full
from acclimate.methods.kl import KLToPrior
from acclimate.methods.l2sp import L2SP
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method
from tests.cases import agent, batch, close, context, reloaded, responses

METHODS: dict[str, Method] = {
    "full": Full(),
    "l2sp": L2SP(weight=0.5),
    "channel": ChannelScale(),
    "freeze": Freeze(on="critic:qf0"),
    "freeze-actor": Freeze(on="actor"),
}


def statistics(model: BaseAlgorithm) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    for path, module in model.policy.named_modules():
        if isinstance(module, BatchRenorm1d):
            yield path, {name: value.clone() for name, value in module.named_buffers()}


@pytest.mark.parametrize("case", list(METHODS))
def test_running_statistics_move_unless_their_layers_are_frozen(case: str) -> None:
    """Mean, variance and the count of steps of what is frozen stay bit for bit; all others go on, and are finite."""
    model = agent("crossq-mlp", steps=20)
    before = dict(statistics(model))
    with Seam(model, METHODS[case], context=context(model)) as seam:
        model.learn(16)
    after = dict(statistics(model))
    frozen = {"freeze": "critic.qf0", "freeze-actor": "actor"}.get(case, "-")
    assert any(path.startswith(frozen) for path in before) is case.startswith("freeze")
    for path, buffers in before.items():
        for name, value in buffers.items():
            assert torch.equal(value, after[path][name]) is path.startswith(frozen), f"{path}.{name}"
            assert bool(after[path][name].isfinite().all())
    shown = batch(model)
    learnt = responses(seam.tuner.nets, shown)
    stock = seam.fold()
    assert close(learnt, responses(seam.tuner.nets, shown))
    assert dict(statistics(reloaded(stock))).keys() == after.keys()


@pytest.mark.parametrize("method", [Full(), KLToPrior(weight=1e-12)], ids=["full", "kl"])
def test_the_statistics_take_in_as_many_passes_as_in_plain_training(method: Method) -> None:
    """The seam adds none and leaves none out, though a penalty runs the networks once more."""
    plain = agent("crossq-mlp", steps=20)
    plain.learn(16)
    tuned = agent("crossq-mlp", steps=20)
    with Seam(tuned, method):
        tuned.learn(16)
    for (path, first), (_, second) in zip(statistics(plain), statistics(tuned), strict=True):
        for name, value in first.items():
            torch.testing.assert_close(value, second[name], msg=f"{path}.{name}")
