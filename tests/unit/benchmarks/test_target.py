"""The benchmark of the time until a return: measuring takes no time, and what is not reached counts as later."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.target import table
from benchmarks.target.reaching import Reaching
from stable_baselines3 import PPO


def trained(wanted: float, pause: float = 0.0) -> Reaching:
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=16, batch_size=16, n_epochs=1, seed=0)
    told: list[int] = []

    def measure(reaching: Reaching) -> float:
        time.sleep(pause)
        told.append(reaching.num_timesteps)
        return float(len(told))

    reaching = Reaching(wanted, 80, measure)
    model.learn(80, callback=reaching)
    return reaching


def test_training_ends_where_the_return_is_reached() -> None:
    reaching = trained(2.0)
    assert reaching.reached
    assert [point.steps for point in reaching.points] == [17, 33]  # after the first two updates
    late = trained(100.0)
    assert not late.reached
    assert late.points[-1].steps == 80  # its last update counts
    assert len(late.points) == 5


def test_measuring_is_not_timed() -> None:
    reaching = trained(100.0, pause=0.2)
    last = reaching.points[-1]
    assert last.total - last.seconds > 0.7  # four measurements before this one
    assert last.seconds < last.total


def cell(reached: bool, seconds: float) -> dict[str, Any]:
    return {"reached": reached, "curve": [{"seconds": seconds}]}


def test_what_is_not_reached_is_later_than_all_else() -> None:
    cells = [cell(True, 30.0), cell(False, 20.0), cell(True, 10.0)]
    assert table.figure(cells, "seconds") == "30 (30, > 20, 10)"
    assert table.figure([*cells[:2], cell(False, 25.0)], "seconds") == "> 20 (30, > 20, > 25)"
