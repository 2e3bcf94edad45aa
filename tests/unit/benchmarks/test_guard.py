"""What guards are compared with, by hand, and the page that tells it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.guard import table
from benchmarks.guard.baselines import ECOD, KNN
from benchmarks.guard.cases import Case


def test_ecod_by_hand() -> None:
    score = ECOD(np.array([[0.0, 10.0], [1.0, 20.0], [2.0, 30.0]]))
    # Of three values and itself: 1 is one of two below and of two above it (3 of 4), 30 one of one above (2 of 4).
    assert score(np.array([[1.0, 30.0]]))[0] == pytest.approx(-np.log(3 / 4) - np.log(2 / 4))
    assert score(np.array([[-9.0, 99.0]]))[0] == pytest.approx(-2 * np.log(1 / 4))


def test_knn_is_the_distance_to_the_fifth_nearest() -> None:
    clean = np.arange(20.0)[:, None]
    assert KNN(clean)(np.array([[0.0], [25.0]])).tolist() == [4.0, 10.0]


def test_the_page_tells_every_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    case = Case("A case", "a.zip", 1.5)
    monkeypatch.setattr(table, "CASES", (case,))
    monkeypatch.setattr(Case, "path", tmp_path / "a.json")
    monkeypatch.setattr(table, "put", lambda section, body: said.append(body))
    seen: dict[str, Any] = {"auroc": 0.875, "rate": 0.5, "detected": 1.0, "delay": 3.0}
    every = dict.fromkeys(table.DETECTORS, seen)
    share = {"value": 0.025, "low": 0.01, "high": 0.06, "n": 200}
    fate = {"observations": 100_000, "refused": 70_000, "reached_broken": 0, "outside": 0}
    result = {
        "case": case.name,
        "false_alarms": dict.fromkeys(table.DETECTORS, share),
        "clean_return": [1000.0, 3000.0],
        "guarded_return": {"default": [1900.0], "all": [1800.0]},
        "faults": {
            "bias": {"detectors": every, "return": [5.0], "guarded": {"default": [6.0], "all": [7.0]}},
            "not_finite": {"detectors": {"default": seen}, "return": None, "guarded": {"default": [8.0], "all": [9.0]}},
        },
        "hostile": {"torch": fate, "onnx": {**fate, "refused": 69_999, "other_flags": 1}},
        "uncertainty": "dropped",
        "cpu_seconds": 12.3,
    }  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(result))
    table.write_table()
    assert "default 2.5 % [1.0, 6.0]" in said[0]
    assert "Clean return 2,000, guarded 1,900 (default) and 1,800 (all)" in said[0]
    assert "of 100,000 70,000 were refused, 0 reached the policy" in said[0]
    assert "of 100,000 69,999 were refused" in said[0]
    assert "whose flags differ in 1" in said[0]
    assert "`uncertainty` is the policy with units left out" in said[0]
    cell = "0.88, 50 %, 100 %, 3"
    assert f"| bias | {cell} | {cell} | {cell} | {cell} | 5 | 6 | 7 |" in said[0]
    assert f"| not_finite | {cell} | - | - | - | - | 8 | 9 |" in said[0]
