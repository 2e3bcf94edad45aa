"""On a GPU: captured training against SB3's own there. Skipped where there is none."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.device import CASES, measure
from stable_baselines3.common.logger import configure

from acclimate.engine.choice import attach
from acclimate.engine.device import engine, rehearsal
from acclimate.engine.device.captured import Cuda
from acclimate.methods.channel import ChannelScale
from acclimate.methods.dropout import Dropout
from acclimate.methods.full import Full
from acclimate.methods.kl import KLToPrior
from acclimate.methods.lora import LoRA
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method
from tests.cases import context

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use"),
]
METHODS: dict[str, Method] = {
    "full": Full(),
    "kl": KLToPrior(weight=Linear(1.0, 0.0, 0.5)),
    "channel": ChannelScale(),
    "lora": LoRA(),
    "dropout": Dropout(p=0.2, on="*"),
}


def reached(name: str, method: Method, lower: bool = False) -> Seam:
    model = CASES[name].make("cuda")
    model.set_logger(configure(None, []))
    if lower:
        with torch.no_grad():
            for parameter in model.policy.parameters():
                parameter.copy_(torch.nextafter(parameter, torch.full_like(parameter, -torch.inf)))
    return Seam(model, method, context=context(model), total_steps=10_000)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CASES)
def test_the_rehearsal_passes(name: str, method: str) -> None:
    seam = reached(name, METHODS[method])
    chosen, why = attach(seam, type(seam.model), "device")
    assert chosen == "acclimate", why


@pytest.mark.parametrize("name", CASES)
def test_300_captured_updates_drift_no_further_than_sb3_from_itself(name: str) -> None:
    stock, disturbed, ours = reached(name, Full()), reached(name, Full(), lower=True), reached(name, Full())
    begin = weights(stock)
    made = engine.DeviceEngine(ours, type(ours.model), Cuda(ours.model.device))
    train(stock, None)
    train(disturbed, None)
    train(ours, made)
    apart, itself = ((weights(stock) - weights(other)).abs().max() for other in (ours, disturbed))
    assert made.update.runner.failure is None
    assert made.update.runner.replays >= 280
    assert (weights(stock) - begin).abs().max() > 0
    assert apart <= 3 * itself


def train(seam: Seam, made: Any) -> None:
    """Make 300 updates on the same experience with the same random numbers."""
    stock: Any = type(seam.model)
    arguments, _ = rehearsal.give_experience(seam.model)
    calls = 100 if not arguments else 300 // arguments[0]
    np.random.seed(0)
    torch.manual_seed(0)
    for _ in range(calls):
        with seam:
            if made is None:
                with seam.update():
                    stock.train(seam.model, *arguments)
            else:
                made.train(*arguments)


def weights(seam: Seam) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in seam.model.policy.parameters()])


@pytest.mark.parametrize("name", CASES)
def test_a_run_captures_and_warns_of_nothing(name: str) -> None:
    seam = reached(name, Full())
    attach(seam, type(seam.model), "device")
    with seam, warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        seam.model.learn(CASES[name].steps)
    made: Any = seam.engine
    assert made.update.runner.replays > 0


def test_the_benchmark_compares() -> None:
    assert "times as fast" in measure("SAC", rounds=1)
