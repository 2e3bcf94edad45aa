"""What all sides train with is set before their libraries are loaded."""

from __future__ import annotations

import pytest
from benchmarks import conditions
from benchmarks.conditions import Conditions


def test_a_process_begins_anew_in_other_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[dict[str, str]] = []
    monkeypatch.setattr(conditions.os, "execve", lambda python, argv, env: begun.append(env))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    conditions.begin(None, kernel=True)
    conditions.begin(3, kernel=False)
    assert not set(begun[0]) & set(conditions.LIBRARIES)
    assert {begun[1][name] for name in conditions.LIBRARIES} == {"3"}
    for name in conditions.LIBRARIES:
        monkeypatch.setenv(name, "3")
    monkeypatch.setenv(conditions.CACHE, begun[1][conditions.CACHE])
    assert conditions.begin(3, kernel=False) == Conditions(3, kernel=False)  # there is no kernel now
    assert len(begun) == 2
