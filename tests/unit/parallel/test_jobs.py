"""Jobs in forked processes: the same answers, and a process that fails costs time alone."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acclimate.agents.load import load
from acclimate.agents.shipped import path
from acclimate.errors import TaskError
from acclimate.evaluation.evaluate import evaluate
from acclimate.parallel import jobs as module
from acclimate.parallel.jobs import at_once
from acclimate.tasks.task import Task

HERE = os.getpid()


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_answers_come_in_the_order_of_the_jobs(processes: int) -> None:
    assert at_once([lambda k=k: k * k for k in range(5)], processes) == [0, 1, 4, 9, 16]


def test_no_jobs_no_answers() -> None:
    assert at_once([], 2) == []


def test_all_but_the_last_of_those_together_run_elsewhere() -> None:
    where = at_once([os.getpid] * 4, 2)
    assert [pid == HERE for pid in where] == [False, True, False, True]
    assert [pid == HERE for pid in at_once([os.getpid] * 2, 1)] == [True, True]


def test_every_job_has_one_thread_of_torch_and_the_caller_its_own_again() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert at_once([torch.get_num_threads] * 2, 2) == [1, 1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_the_first_error_is_raised(processes: int) -> None:
    def fail(name: str) -> None:
        raise TaskError(f"{name} cannot be stepped")

    with pytest.raises(TaskError, match="first"):
        at_once([lambda: fail("first"), lambda: None, lambda: fail("last")], processes)


def test_what_a_process_does_not_bring_back_is_done_again_here(tmp_path: Path) -> None:
    tried = tmp_path / "tried"

    def dies() -> int:
        if os.getpid() != HERE:
            tried.touch()
            os._exit(9)
        return 7

    assert at_once([dies, lambda: 1], 2) == [7, 1]
    assert tried.exists()
    unsendable: list[Any] = at_once([lambda: lambda: 3, lambda: None], 2)
    assert unsendable[0]() == 3


def test_a_process_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", (0.2, 1.0))

    def hangs() -> str:
        if os.getpid() != HERE:
            time.sleep(60)
        return "here"

    assert at_once([hangs, lambda: "own"], 2) == ["here", "own"]


def test_episodes_are_the_same_wherever_they_are_played() -> None:
    agent, task = load(path("ppo-LunarLander-v3")), Task("LunarLander-v3")
    jobs = [lambda seed=seed: evaluate(agent, task, episodes=3, seed=seed) for seed in (5, 50)]
    for one, other in zip(at_once(jobs, 2), at_once(jobs, 1), strict=True):
        assert np.array_equal(one.returns, other.returns)
        assert np.array_equal(one.lengths, other.lengths)
