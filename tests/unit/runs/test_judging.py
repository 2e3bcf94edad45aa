"""What is found of a run is the same whether episodes are played at the same time or one after another."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from acclimate.parallel.cores import forks
from acclimate.runs import episodes
from acclimate.runs.finetune import finetune
from acclimate.tasks.task import Task
from tests.world import agent, recipe, same, task, weights


def tuned(processes: int, name: str, monkeypatch: pytest.MonkeyPatch, **given: Any) -> Any:
    """Tune with so many processes at once."""
    with monkeypatch.context() as patch:
        patch.setattr(episodes, "forks", lambda *_: processes)
        return finetune(agent(name), task(name, offset=0.5), recipe(**given), source=task(name))


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_a_run_finds_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (tuned(processes, name, monkeypatch) for processes in (1, 2))
    for world in ("target", "source"):
        for when in ("before", "after", "last"):
            found = [getattr(getattr(run.report, world), when) for run in (one, other)]
            assert (found[0] is None) == (found[1] is None)
            if found[0] is not None:
                assert np.array_equal(found[0].returns, found[1].returns)
                assert np.array_equal(found[0].seeds, found[1].seeds)
    assert one.report.kept == other.report.kept
    assert same(weights(one.agent), weights(other.agent))


def test_several_are_at_work_and_who_wants_one_process_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    here: list[int] = []
    play = episodes.evaluate

    def seen(*given: Any, **more: Any) -> Any:
        here.append(os.getpid())
        return play(*given, **more)

    monkeypatch.setattr(episodes, "evaluate", seen)
    tuned(2, "ppo", monkeypatch, vec_env="dummy")
    alone = len(here)
    here.clear()
    tuned(2, "ppo", monkeypatch)
    assert 0 < len(here) < alone


def test_worlds_of_unknown_make_are_not_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acclimate.parallel.cores._cores", lambda: 4)
    known = Task("CartPole-v1")
    assert forks(known.make, known.make) == 4
    assert forks(known.make, task("ppo").make) == 1
