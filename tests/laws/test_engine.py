"""The engine trains an agent with any method as Stable-Baselines3 does, or leaves it to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acclimate.engine.choice import attach
from acclimate.seam import Seam
from tests.cases import METHODS, agent, context, refused

NAMES = ("ppo-mlp", "sac-mlp", "dqn-mlp", "td3-mlp", "a2c-mlp", "ppo-mlp-discrete", "ddpg-mlp")
STEPS = 24
ALL = [(name, case) for case in METHODS for name in NAMES if not refused(case, name)]


def _by_day() -> set[tuple[str, str]]:
    """Return one agent for each case, another one from case to case."""
    chosen = set()
    for place, case in enumerate(METHODS):
        mine = [pair for pair in ALL if pair[1] == case]
        if mine:
            chosen.add(mine[place % len(mine)])
    return chosen


DAY = _by_day()
PAIRS = [pair if pair in DAY else pytest.param(*pair, marks=pytest.mark.nightly) for pair in ALL]


def trained(name: str, case: str, engine: str) -> tuple[dict[str, torch.Tensor], str]:
    model = agent(name)
    seam = Seam(model, METHODS[case], context=context(model), total_steps=STEPS)
    by, _ = attach(seam, type(model), engine)
    torch.manual_seed(1)
    np.random.seed(1)
    with seam:
        model.learn(STEPS)
        seam.finish()
    return {key: value.clone() for key, value in model.policy.state_dict().items()}, by


@pytest.mark.parametrize(("name", "case"), PAIRS)
def test_the_engine_trains_as_sb3_does(name: str, case: str) -> None:
    ours, by = trained(name, case, "auto")
    theirs, _ = trained(name, case, "sb3")
    assert list(ours) == list(theirs)
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, atol=2e-4, rtol=2e-3, msg=lambda text, k=key: f"{by}, {k}: {text}")
