"""A run that is killed goes on where it stood, and ends as one that was not."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.monitor import load_results

from acclimate.errors import ConfigError, SourceError
from acclimate.reports.report import read
from acclimate.runs import judging
from acclimate.training import checkpoint, trainer
from acclimate.training.ready import Ready
from acclimate.training.watch import Watch
from tests.reliability.killed import CASES, STEPS, process, run
from tests.world import observations


class Killed(BaseException):
    """Stands for a kill where a process of its own would cost too much."""


def state(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "checkpoint" / "progress.json").read_text())


ON_POLICY = ("ppo", "trpo", "recurrent", "masked")
LATER = ("sac", "dqn", "td3", "trpo", "recurrent", "masked")
NIGHTLY = [pytest.param(case, marks=pytest.mark.nightly) for case in LATER]


@pytest.mark.parametrize("case", ["ppo", *NIGHTLY])
def test_killed_at_three_points_it_ends_with_the_same_steps(case: str, tmp_path: Path) -> None:
    folder, unkilled = tmp_path / "run", run(case, tmp_path / "whole", resume=False)
    points = sorted(random.Random(case).sample(range(40, 380), 3))
    stood = [0]
    for point in points:
        assert process(case, folder, at=point) == -signal.SIGKILL
        assert not (folder / "report.json").exists()
        stood.append(state(folder)["steps"])
        # On-policy checkpoints lie between rollouts of 32 steps.
        assert point - 33 <= stood[-1] <= point
    assert stood == sorted(stood), "a resumed run began anew"
    done = run(case, folder)
    report, whole = done.report, unkilled.report
    assert report.steps_charged == whole.steps_charged <= STEPS
    assert [point.steps for point in report.curve] == [point.steps for point in whole.curve]
    assert report.target.before.returns.tolist() == whole.target.before.returns.tolist()
    assert report.method == whole.method
    assert report.trainable_parameters == whole.trainable_parameters
    assert read(folder).to_json() == report.to_json()
    assert (folder / "report.html").exists()
    assert not list(folder.glob(".*")), "something half-written stayed"
    table = load_results(str(folder))
    assert STEPS - 60 <= table["l"].sum() <= STEPS, "episodes of lost steps are counted, or others lost"


def test_a_kill_before_the_first_checkpoint_loses_only_what_there_was(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert process("sac", folder, at=60, every=1e6) == -signal.SIGKILL
    assert not (folder / "checkpoint").exists()
    assert (folder / "before.json").exists()
    held: list[int] = []

    def look(scope: dict[str, Any], _: dict[str, Any]) -> bool:
        held.append(scope["self"].replay_buffer.size())
        return True

    report = run("sac", folder, callback=look).report
    assert held[:2] == [8, 9], "the steps that the killed run's probe had paid for are lost"
    assert report.steps_charged == STEPS
    assert np.load(folder / "evaluations.npz")["timesteps"][-1] == STEPS


def test_an_interrupt_leaves_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert process("ppo", folder, at=200, by=signal.SIGINT) != 0
    assert not (folder / "report.json").exists()
    assert 150 <= state(folder)["steps"] <= 200
    assert run("ppo", folder).report.steps_charged <= STEPS


def test_a_kill_in_the_final_evaluation_does_not_train_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(judging, "choose", killed)
        with pytest.raises(Killed):
            run("ppo", folder)
    assert state(folder)["trained"] is True
    steps = state(folder)["steps"]

    def never(*_: object) -> bool:
        raise AssertionError("it trains again")

    assert run("ppo", folder, callback=never).report.steps_charged == steps + 8


def equal(first: Any, second: Any, path: str = "") -> None:
    """Check that two nests of tensors and numbers are equal, bit for bit."""
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), path
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key, value in first.items():
            equal(value, second[key], f"{path}/{key}")
    elif isinstance(first, list | tuple):
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            equal(one, other, f"{path}/{index}")
    else:
        assert first == second, path


@pytest.mark.parametrize("case", [*ON_POLICY, "dqn", "data"])
def test_all_of_a_checkpoint_is_put_back(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, moments, states of methods, normaliser, average, counters: saved again at once, they are the same."""
    folder = tmp_path / "run"

    def kill(scope: dict[str, Any], _: dict[str, Any]) -> bool:
        if scope["self"].num_timesteps >= 230:
            raise Killed
        return True

    def save_and_stop(ready: Ready, seen: Watch) -> None:
        trainer._save(ready, seen, trained=False)
        raise Killed

    with pytest.raises(Killed):
        run(case, folder, callback=kill, averaging=0.5)
    saved = checkpoint.read(folder)
    monkeypatch.setattr(trainer, "_learn", save_and_stop)
    with pytest.raises(Killed):
        run(case, folder, averaging=0.5)
    again = checkpoint.read(folder)
    equal(saved.tensors, again.tensors)
    assert (saved.progress["resumed"], again.progress["resumed"]) == ([], [saved.progress["steps"]])
    clocks = {"seconds": 0, "resumed": 0}
    equal({**saved.progress, **clocks}, {**again.progress, **clocks})
    assert case != "ppo" or saved.progress["unread"]["norms"], "nothing was measured that could be lost"
    assert saved.progress["counters"]["_n_updates"] > 0
    if case not in ON_POLICY:
        assert all(np.array_equal(values, again.replay[name]) for name, values in saved.replay.items())


def test_steps_that_a_method_asked_for_are_charged_once(tmp_path: Path) -> None:
    """A resumed run plays them again, which costs no more than the first time in the report."""
    folder = tmp_path / "run"

    def kill(scope: dict[str, Any], _: dict[str, Any]) -> bool:
        if scope["self"].num_timesteps >= 230:
            raise Killed
        return True

    with pytest.raises(Killed):
        run("data", folder, callback=kill)
    done = run("data", folder)
    assert (done.report.steps_charged, done.report.steps_home) == (STEPS, 40)


def test_another_recipe_a_finished_run_and_a_damaged_one(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = run("ppo", folder, resume=False, steps=100)
    with pytest.raises(ConfigError, match=r"another recipe\.steps"):
        run("ppo", folder, steps=101)
    with pytest.raises(ConfigError, match="already holds a run"):
        run("ppo", folder, resume=False, steps=100)

    def never(*_: object) -> bool:
        raise AssertionError("it trains again")

    again = run("ppo", folder, steps=100, callback=never)
    assert again.report.to_json() == first.report.to_json()
    ours, theirs = (one.agent.predict(observations(), deterministic=True)[0] for one in (again, first))
    assert np.array_equal(ours, theirs)

    (folder / "report.json").unlink()
    (folder / "checkpoint" / "state.pt").write_bytes(b"no checkpoint")
    with pytest.raises(SourceError, match="remove that folder"):
        run("ppo", folder, steps=100)
    assert (folder / "checkpoint").exists()


def test_the_cases_cover_what_they_claim() -> None:
    methods = {method.name for _, recipe in CASES.values() for method in recipe.methods}
    assert methods == {"channel", "kl", "prior-replay", "jump-start", "policy-expansion", "wise"}
