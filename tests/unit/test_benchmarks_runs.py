"""The benchmarks of decisions and of memory measure what they say."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from benchmarks import memory, predict


def test_decisions_are_timed_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "CALLS", 2)
    case = next(case for case in predict.CASES if case.env == "CartPole-v1" and case.deterministic)
    both = predict.sides(case)
    assert both["sb3"]()[0] == both["acclimate"]()[0]
    found = predict.measure(case, 3)
    assert {name: len(times) for name, times in found.items()} == {"sb3": 3, "acclimate": 3}
    assert predict.line(case, {"sb3": [40.0, 80.0], "acclimate": [10.0, 10.0]}) == (
        f"| {case.name} | 60.0 | 10.0 | 6.0 [4.0, 8.0] |"
    )


SMALL = dataclasses.replace(memory.CASES[0], env="CartPole-v1", n_envs=1, steps=16, arguments=(("n_steps", 8),))


@pytest.mark.parametrize("side", ["sb3", "engine"])
def test_a_run_is_measured_above_its_libraries(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, own = [], memory.RUNS[side]

    def run(case: memory.Case) -> None:
        own(case)
        kept.append(np.ones(2**23))

    monkeypatch.setitem(memory.RUNS, side, run)
    found = memory.work(SMALL, side, ["json", "no_such_module"])
    assert found["run"] > 60  # the array alone has 64 MiB
    assert "json" in found["modules"]


def test_the_table_has_medians_and_ratios() -> None:
    def said(run: float) -> list[dict[str, Any]]:
        return [{"run": run + more, "libraries": 300.0} for more in (0.0, 50.0, -50.0)]

    row = memory.line(SMALL, {"sb3": said(100), "engine": said(110), "finetune": said(150)})
    assert row.endswith("| 100 | 110 | 150 | 1.10 | 1.50 | 300 | 300 | 300 |")


def test_a_worker_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failed:
        returncode, stderr, stdout = 1, "it broke", ""

    monkeypatch.setattr(memory.subprocess, "run", lambda *args, **kwargs: Failed())
    with pytest.raises(SystemExit, match="it broke"):
        memory.ask(SMALL, "sb3", [])
    Failed.returncode, Failed.stdout = 0, "a warning\n" + json.dumps({"run": 1.0})
    assert memory.ask(SMALL, "sb3", []) == {"run": 1.0}


def test_images_are_noise_for_fifty_steps() -> None:
    env = memory.images()
    env.reset(seed=0)
    steps = [env.step(0) for _ in range(50)]
    assert [step[2] for step in steps] == [False] * 49 + [True]
    assert env.observation_space.contains(steps[0][0])
