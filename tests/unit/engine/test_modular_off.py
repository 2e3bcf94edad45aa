"""Off-policy agents trained through their own modules, against Stable-Baselines3 on the same minibatches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from stable_baselines3 import DDPG, DQN, SAC, TD3

from acclimate.methods.batchnorm import BatchNorm
from acclimate.methods.channel import ChannelScale
from acclimate.methods.dropout import Dropout
from acclimate.methods.droq import DroQ
from acclimate.methods.features import FeatureDistillation
from acclimate.methods.full import Full
from acclimate.methods.hold import Hold
from acclimate.methods.kl import KLToPrior
from acclimate.methods.l2sp import L2SP
from acclimate.methods.last_layer import LastLayer
from acclimate.methods.mixout import Mixout
from acclimate.methods.residual import Residual
from acclimate.methods.side import Side
from acclimate.tuning.method import Method, chain
from tests.unit.engine.alike_off_policy import ALGORITHMS, both
from tests.unit.engine.test_off_policy import itself

CLOSE = 1e-8
METHODS: dict[str, Method] = {
    "full": Full(),
    "kl": KLToPrior(weight=0.5),
    "l2sp-decoupled": L2SP(weight=1.0, decoupled=True),
    "channel": ChannelScale(rate=2.0),
    "hold": Hold(steps=100, on="*"),
    "last-layer": LastLayer(),
    "dropout": Dropout(p=0.2),
    "batchnorm": BatchNorm(states=40, momentum=0.2),
    "features": FeatureDistillation(),
    "mixout": Mixout(p=0.3),
    "residual": Residual(width=4),
    "side": Side(width=4, rate=2.0),
    "several": chain(Dropout(p=0.1), Hold(steps=130, on="*:*.bias"), KLToPrior(weight=0.5)),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_300_updates_are_those_of_sb3(algorithm: str, method: str) -> None:
    outcome = both(ALGORITHMS[algorithm], METHODS[method], modules=True)
    assert outcome.distance < CLOSE
    theirs, ours = outcome.logged
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("algorithm", ["sac", "td3", "ddpg"])
def test_droq(algorithm: str) -> None:
    assert both(ALGORITHMS[algorithm], DroQ(p=0.2, states=40, fits=5, on="critic"), modules=True).distance < CLOSE


@pytest.mark.parametrize(
    ("algorithm", "arguments"),
    [
        (SAC, {"ent_coef": 0.2, "target_update_interval": 3}),
        (SAC, {"normalize": True, "policy_kwargs": {"net_arch": [8], "n_critics": 3}}),
        (TD3, {"policy_delay": 3, "target_policy_noise": 0.5, "target_noise_clip": 0.3}),
        (DDPG, {"gamma": 0.8, "tau": 0.5}),
        (DQN, {"max_grad_norm": 0.01, "target_update_interval": 1, "tau": 0.3}),
        (DQN, {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}}),
    ],
    ids=str,
)
def test_options(algorithm: type, arguments: dict[str, Any]) -> None:
    assert both(algorithm, calls=10, modules=True, **arguments).distance < CLOSE


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_in_float32_it_drifts_no_further_than_sb3_from_itself(algorithm: str) -> None:
    assert both(ALGORITHMS[algorithm], dtype=torch.float32, modules=True).distance <= 3 * itself(algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_gradient_in_float32(algorithm: str) -> None:
    models: list[Any] = []
    more = {"policy_delay": 1} if algorithm == "td3" else {}
    both(ALGORITHMS[algorithm], calls=1, each=1, dtype=torch.float32, models=models, modules=True, **more)
    for owner in ("policy",) if algorithm == "dqn" else ("actor", "critic"):
        theirs, ours = (
            torch.cat([state["exp_avg"].flatten() for state in getattr(model, owner).optimizer.state.values()])
            for model in models
        )
        assert float((theirs - ours).abs().max()) < 1e-5 * float(theirs.abs().max())
