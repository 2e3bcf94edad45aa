"""Killed at any point, a run that is resumed ends with the numbers of one that was not, or says why it cannot."""

from __future__ import annotations

import random
import signal
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.monitor import load_results

from acclimate.reports.report import read
from acclimate.training import checkpoint
from tests.record import arrays, timeless
from tests.reliability.killed import POINTS, STEPS, Calls, process, run
from tests.world import weights

EACH = 5
"""Points of a kind; the i-th lies at random in the i-th part of the run."""
BY_DAY = {("ppo", "world", 1), ("ppo", "write", 2), ("sac-16", "world", 3), ("sac-16", "write", 1)}
KILLS = [
    pytest.param(case, point, part, marks=[] if (case, point, part) in BY_DAY else pytest.mark.nightly)
    for case in ("ppo", "sac-16")
    for point in POINTS
    for part in range(EACH)
]


def facts(done: Any, folder: Path) -> dict[str, Any]:
    """Return all numbers of a run that no clock tells."""
    episodes = load_results(str(folder))
    return {
        "weights": arrays({name: value.numpy() for name, value in weights(done.agent).items()}),
        "report": timeless({**done.report.to_json(), "notes": None}),
        "evaluations": arrays(dict(np.load(folder / "evaluations.npz"))),
        "episodes": episodes[["r", "l"]].to_numpy().tolist(),
        "files": sorted(path.name for path in folder.iterdir() if "tfevents" not in path.name),
    }


@cache
def unkilled(case: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the numbers of a run that nobody kills, and how often it came to each kind of point."""
    folder, counted = Path(mkdtemp()) / "run", {point: Calls() for point in POINTS}
    with pytest.MonkeyPatch.context() as patch:
        for point, calls in POINTS.items():
            for owner, name in calls:
                patch.setattr(owner, name, counted[point].of(getattr(owner, name)))
        done = run(case, folder, resume=False)
    return facts(done, folder), {point: calls.seen for point, calls in counted.items()}


@pytest.mark.parametrize(("case", "point", "part"), KILLS)
def test_the_numbers_are_those_of_a_run_without_a_break(case: str, point: str, part: int, tmp_path: Path) -> None:
    whole, counted = unkilled(case)
    length = counted[point] / EACH
    at = 1 + int(length * (part + random.Random(f"{case} {point} {part}").random()))
    assert process(case, tmp_path / "run", point=point, at=at) == -signal.SIGKILL, "it ended before"
    stood = checkpoint.read(tmp_path / "run")
    broken = stood is not None and not stood.progress["trained"] and stood.progress["steps"] > 0
    done = run(case, tmp_path / "run")
    now = facts(done, tmp_path / "run")
    assert not [name for name in now["files"] if name.startswith(".")], "something half-written stayed"
    assert read(tmp_path / "run").to_json() == done.report.to_json()
    said = [note for note in done.report.notes if note.startswith("resumed at training step")]
    assert bool(said) == broken
    if not broken:
        for name, numbers in whole.items():
            assert now[name] == numbers, name
        return
    assert f"step {stood.progress['steps']}:" in said[0]
    for name in ("steps_charged", "method", "trainable_parameters", "carried", "reset", "situation"):
        assert now["report"][name] == whole["report"][name], name
    decided = [[c for c in found["report"]["choices"] if c[0] != "kept"] for found in (now, whole)]
    assert decided[0] == decided[1], "what is kept is decided by what it returns"
    assert now["report"]["target"]["before"] == whole["report"]["target"]["before"]
    assert [at["steps"] for at in now["report"]["curve"]] == [at["steps"] for at in whole["report"]["curve"]]
    assert STEPS - 60 <= sum(length for _, length in now["episodes"]) <= STEPS


def test_the_points_are_twenty_and_four_by_day() -> None:
    assert len(KILLS) == 20
    assert sum(not kill.marks for kill in KILLS) == len(BY_DAY) == 4
