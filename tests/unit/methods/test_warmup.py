from __future__ import annotations

import pytest

from acclimate.errors import ConfigError
from acclimate.methods.warmup import Warmup
from acclimate.seam.seam import Seam
from tests.cases import agent


def used(method: Warmup, name: str = "ppo-mlp", steps: int = 80) -> list[float]:
    """Return the learning rates that the optimizer steps with, each once."""
    model = agent(name, steps=0, learning_rate=1e-3)
    found: list[float] = []
    with Seam(model, method, total_steps=steps):
        optimizer = model.policy.optimizer
        optimizer.register_step_pre_hook(lambda o, a, k: found.extend(g["lr"] for g in o.param_groups))
        model.learn(steps)
    return list(dict.fromkeys(round(rate, 9) for rate in found))


def test_it_rises_to_the_full_rate_in_a_straight_line() -> None:
    """Ten rollouts of a tenth of the run: 0.2, then 0.2 + 0.8 / 4, and so on, times 1e-3."""
    assert used(Warmup(fraction=0.4, start=0.2)) == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 1e-3])


def test_the_rest_begins_at_the_full_rate() -> None:
    assert used(Warmup(fraction=1.0, start=0.5, on="actor"), steps=8) == pytest.approx([5e-4, 1e-3])


@pytest.mark.parametrize("fields", [{"start": 0.0}, {"fraction": 1.1}, {"fraction": 0.0}])
def test_what_cannot_be(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"warmup\.{next(iter(fields))} is"):
        Warmup(**fields)
