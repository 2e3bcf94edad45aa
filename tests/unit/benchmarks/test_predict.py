"""The benchmark of decisions: both sides decide the same, and both are timed."""

from __future__ import annotations

import pytest
from benchmarks import predict


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
