from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from acclimate.errors import ConfigError
from acclimate.methods.cosine import Cosine
from acclimate.seam.seam import Seam
from tests.cases import agent


def test_the_rates_are_those_of_torch() -> None:
    """Ten rollouts of a tenth of the run are ten epochs of torch's own schedule."""
    reference = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1e-3)
    schedule = CosineAnnealingLR(reference, T_max=10, eta_min=2e-4)
    expected = []
    for _ in range(10):
        expected.append(reference.param_groups[0]["lr"])
        reference.step()
        schedule.step()
    model = agent("ppo-mlp", steps=0, learning_rate=1e-3)
    found: list[float] = []
    with Seam(model, Cosine(end=0.2), total_steps=80):
        model.policy.optimizer.register_step_pre_hook(lambda o, a, k: found.append(o.param_groups[0]["lr"]))
        model.learn(80)
    assert found[::4] == pytest.approx(expected)
    assert found[1::4] == pytest.approx(expected)


def test_sb3s_own_schedule_multiplies() -> None:
    model = agent("ppo-mlp", steps=0, learning_rate=lambda left: 1e-3 + 1e-3 * left)
    found: list[float] = []
    with Seam(model, Cosine(end=0.5), total_steps=16):
        model.policy.optimizer.register_step_pre_hook(lambda o, a, k: found.append(o.param_groups[0]["lr"]))
        model.learn(16)
    # SB3 reads its schedule after each of the two rollouts, 1.5e-3 and 1e-3; the cosine begins with them, 1 and 0.75.
    assert list(dict.fromkeys(found)) == pytest.approx([1.5e-3, 0.75e-3])


@pytest.mark.parametrize("end", [0.0, 1.5])
def test_what_cannot_be(end: float) -> None:
    with pytest.raises(ConfigError, match=r"cosine\.end"):
        Cosine(end=end)
