"""The benchmark of memory: a run is measured above its libraries, in a process of its own."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from benchmarks import memory

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
    assert row.endswith("| 100 | 110 | 150 | 1.10 | 1.50 | 300 | 300 | 300 | 1.02 | 1.12 |")


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
