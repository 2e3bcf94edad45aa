"""The benchmark of several seeds at once: all ways of training them compute the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from benchmarks.seeds import measure


@pytest.mark.parametrize("shape", measure.SHAPES)
def test_all_ways_have_the_same_gradients(shape: measure.Shape) -> None:
    nets = measure.Networks(shape, 3)
    for run in nets.ways().values():
        run()
    for place in range(len(shape.units) - 1):
        for k in range(3):
            weights, biases = nets.gradients[k]
            for both in (nets.stacked, nets.torch):
                scale = np.abs(weights[place]).max()
                assert scale > 0
                assert np.allclose(weights[place], both.weight_gradients[place][k], atol=1e-5 * scale)
                assert np.allclose(biases[place], np.ravel(both.bias_gradients[place][k]), atol=1e-4 * scale)


def test_ways_take_turns() -> None:
    told: list[str] = []
    ways = {name: (lambda name=name: told.append(name)) for name in ("a", "b")}
    found = measure.in_turns(ways, 2, passes=2)
    assert told == ["a", "a", "b", "b"] * 2
    assert {name: len(each) for name, each in found.items()} == {"a": 2, "b": 2}
    assert measure.times_as_fast({measure.APART: [4.0, 6.0, 8.0], "x": [2.0, 2.0, 2.0]}, "x") == "3.00 [2.50, 3.50]"


def test_whole_runs_are_of_every_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(measure, "finetune", told.append)
    monkeypatch.setattr(measure, "TOGETHER", (2,))
    (head, _, row) = measure.runs(1)
    assert f"{measure.cores()} at a time" in head
    assert row.startswith("| wall time | 2 | ")
    assert sorted(told) == [0, 0, 1, 1]


def test_a_run_has_its_own_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(measure.subprocess, "run", lambda command, **kwargs: asked.append(command))
    measure.finetune(3)
    assert asked[0][asked[0].index("--seed") + 1] == "3"
