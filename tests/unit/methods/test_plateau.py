from __future__ import annotations

import pytest
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from acclimate.errors import ConfigError
from acclimate.methods.plateau import Plateau
from acclimate.seam.seam import Seam
from tests.cases import agent


def rates(method: Plateau, returns: list[float | None]) -> list[float]:
    """Return the rate after each of ten rollouts with these mean returns."""
    seam = Seam(agent("ppo-mlp", steps=0), method)
    found = []
    for place, mean in enumerate(returns):
        seam.signals.progress, seam.signals.mean_return = place / 10, mean
        seam.tuner.rollout()
        found.append(set(seam.tuner.scales.values()))
    assert all(len(each) == 1 for each in found)
    return [min(each) for each in found]


def test_the_rate_falls_where_the_return_stalls() -> None:
    """Patience is a quarter of the run: three rollouts of a tenth."""
    method = Plateau(factor=0.5, patience=0.25, lowest=0.3)
    assert rates(method, [None, -9, -5, -5, -6, -7, -5, -4, -4, -4, -4, -4, -4]) == [
        *(1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5),
        # A better return begins the patience anew; the rate does not rise again, and not fall below the lowest.
        *(0.5, 0.5, 0.5, 0.3, 0.3, 0.3),
    ]


def test_without_an_episode_it_stays() -> None:
    assert rates(Plateau(patience=0.1), [None] * 6) == [1.0] * 6


def test_it_reads_what_training_tells() -> None:
    """The monitored return is 5 in each episode: the first is the best, and the rest stalls."""
    model = agent("ppo-mlp", steps=0)
    env = model.get_env()
    assert env is not None
    model.set_env(DummyVecEnv([lambda: Monitor(env.envs[0])]))  # type: ignore[attr-defined]
    with Seam(model, Plateau(patience=0.2), total_steps=80) as seam:
        model.learn(80)
    assert seam.signals.mean_return == 5.0
    assert set(seam.tuner.scales.values()) == {0.125}


@pytest.mark.parametrize("fields", [{"factor": 1.0}, {"patience": 0.0}, {"lowest": 0.0}])
def test_what_cannot_be(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"plateau\.{next(iter(fields))} is"):
        Plateau(**fields)
