"""The off-policy engine against Stable-Baselines3 on the same minibatches: same weights, same log."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from stable_baselines3 import DDPG, DQN, SAC, TD3
from tests.unit.engine.alike_off_policy import ALGORITHMS, both
from torch import nn

from acclimate.method import Method, chain
from acclimate.methods.channel import ChannelScale
from acclimate.methods.freeze import Freeze
from acclimate.methods.full import Full
from acclimate.methods.hold import Hold
from acclimate.methods.kl import KLToPrior
from acclimate.methods.l2sp import L2SP
from acclimate.schedule import Linear

CLOSE = 1e-8

METHODS: dict[str, Method] = {
    "full": Full(),
    "kl": KLToPrior(weight=Linear(1.0, 0.0, 0.5)),
    "l2sp": L2SP(weight=0.1),
    "l2sp-decoupled": L2SP(weight=1.0, decoupled=True),
    "channel": ChannelScale(rate=2.0),
    "channel-base": ChannelScale(train_base=True, on="critic|q"),
    "hold": Hold(steps=100),
    "freeze": Freeze(on="*:*.bias"),
    "freeze-lower": Freeze(on=["actor:latent_pi|mu.0", "critic:qf*.0", "q:q_net.0"]),
    "several": chain(Hold(steps=130), ChannelScale(train_base=True), KLToPrior(weight=0.5), L2SP()),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_300_updates_are_those_of_sb3(algorithm: str, method: str) -> None:
    outcome = both(ALGORITHMS[algorithm], METHODS[method])
    assert outcome.distance < CLOSE
    theirs, ours = outcome.logged
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9)
