"""The scales of a method that calls itself steady never change."""

from __future__ import annotations

import pytest

from acclimate.seam.seam import Seam
from tests.cases import METHODS, agent, context, refused

STEADY = [case for case, method in METHODS.items() if any(part.steady for part in method.parts())]


@pytest.mark.parametrize("case", STEADY)
@pytest.mark.parametrize("name", ["ppo-mlp", "sac-mlp", "dqn-mlp"])
def test_steady_scales_stay(name: str, case: str) -> None:
    if refused(case, name):
        pytest.skip("refused")
    model = agent(name)
    tuner = Seam(model, METHODS[case], context=context(model), total_steps=100).tuner
    for part, view in tuner.composition.each("scales"):
        if part.method.steady:
            before = dict(part.method.scales(view, None, tuner.signals))
            tuner.signals.progress, tuner.signals.env_steps, tuner.signals.rollout = 1.0, 100, 7
            assert dict(part.method.scales(view, part.states[view.role], tuner.signals)) == before
