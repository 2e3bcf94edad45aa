"""Whatever is raised in a run: its folder can be resumed or used again, and no training is lost that was saved."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from acclimate.errors import ConfigError, ExportError, MisfitError, TaskError
from acclimate.methods.wise import WiSE
from acclimate.reports import chart, pages
from acclimate.reports import report as reports
from acclimate.reports.report import read
from acclimate.runs import account, finetune, keeping
from acclimate.runs.episodes import Episodes
from acclimate.training import checkpoint, job
from acclimate.training.callbacks import selection
from tests.reliability.killed import CASES, STEPS, Calls, run
from tests.world import agent, recipe, same, weights

FULL = OSError(errno.ENOSPC, "No space left on device")
ERRORS = [TaskError("the world broke"), ValueError("a callback"), KeyboardInterrupt(), MemoryError(), FULL]
# name: (what is called there, at which of its calls it fails, whether training is over by then)
PLACES: dict[str, tuple[Any, str, int, bool]] = {
    "a measurement": (selection, "evaluate", 1, False),
    "the last measurement": (selection, "evaluate", 2, True),
    "the methods' last word": (job, "evaluate", 2, True),
    "judging": (Episodes, "judging", 2, True),
    "the final episodes": (Episodes, "final", 2, True),
    "writing the agent": (keeping, "write", 2, True),
    "the account": (finetune, "account", 1, True),
    "the report": (reports, "evaluations", 1, True),
}
PAIRS = [
    pytest.param(place, error, marks=[] if number % len(ERRORS) == part else pytest.mark.nightly)
    for number, place in enumerate(PLACES)
    for part, error in enumerate(ERRORS)
    if place != "the report" or isinstance(error, KeyboardInterrupt)
]
SOON = [
    pytest.param(every, error, marks=[] if number % 2 == (every == 0) else pytest.mark.nightly)
    for every in (0.0, 1e6)
    for number, error in enumerate(ERRORS)
]
"""Seconds between checkpoints, and what is raised in training."""
CASES["wise"] = ("ppo", recipe(steps=STEPS, n_envs=2, methods=(WiSE(),), algorithm={"n_steps": 16}))


@cache
def whole(case: str) -> Any:
    """Return a run in which nothing was raised."""
    return run(case, Path(mkdtemp()) / "run")


def fail(error: BaseException) -> None:
    raise error


def never(*_: object) -> bool:
    raise AssertionError("it trains again")


@pytest.mark.parametrize(("place", "error"), PAIRS)
def test_a_run_goes_on_where_something_was_raised(
    place: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, at, trained = PLACES[place]
    case = "wise" if place == "the methods' last word" else "ppo"
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, Calls(at, lambda: fail(error)).of(getattr(owner, name)))
        with pytest.raises(ConfigError if error is FULL else type(error)) as raised:
            run(case, tmp_path / "run")
    said = str(getattr(raised.value, "__notes__", ""))
    error.__notes__ = []
    assert "--resume" in said
    assert str(tmp_path / "run") in said
    assert checkpoint.read(tmp_path / "run").progress["trained"] is trained
    done = run(case, tmp_path / "run", callback=never if trained else None)
    assert done.report.to_json() == read(tmp_path / "run").to_json()
    assert any("resumed" in note for note in done.report.notes) is not trained
    if trained:
        assert same(weights(done.agent), weights(whole(case).agent))
        assert done.report.steps_charged == whole(case).report.steps_charged
        assert done.report.steps_measured == whole(case).report.steps_measured


@pytest.mark.parametrize(("every", "error"), SOON)
def test_what_is_raised_in_training_leaves_a_folder_to_go_on_with(
    error: BaseException, every: float, tmp_path: Path
) -> None:
    def raises(scope: dict[str, Any], _: dict[str, Any]) -> bool:
        return scope["self"].num_timesteps < 230 or fail(error)

    folder = tmp_path / "run"
    with pytest.raises(ConfigError if error is FULL else type(error)) as raised:
        run("ppo", folder, every=every, callback=raises)
    left = every == 0.0 or isinstance(error, KeyboardInterrupt)
    assert ("--resume" in str(getattr(raised.value, "__notes__", ""))) is left
    error.__notes__ = []
    assert folder.exists() is left, "there is something to go on with, or the folder is free"
    if every:
        assert run("ppo", folder, resume=left, steps=60 if not left else STEPS).report.target
    else:
        assert 190 <= checkpoint.read(folder).progress["steps"] <= 230


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes: what a full disk and a quota are to who writes."""
    resource = pytest.importorskip("resource")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


def test_a_full_disk_is_told_before_anything_is_played(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with files_of_at_most(4_000), pytest.raises(ExportError, match="File too large"):
        run("ppo", folder, callback=never)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["agent.zip", "bundle"])
def test_a_full_disk_is_no_fault_of_the_format(name: str, tmp_path: Path) -> None:
    given = agent("sac")
    with files_of_at_most(300), pytest.raises(ExportError, match="File too large") as raised:
        given.save(tmp_path / name)
    assert not isinstance(raised.value, MisfitError)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("case", ["ppo", "sac-16"])
def test_a_disk_that_fills_up_in_training_is_one_clear_error(case: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with ExitStack() as full:

        def fills(scope: dict[str, Any], _: dict[str, Any]) -> bool:
            if scope["self"].num_timesteps == 230:
                full.enter_context(files_of_at_most(6_000))
            return True

        with pytest.raises(ConfigError, match=r"cannot write .*\(File too large\)") as raised:
            run(case, folder, callback=fills)
    assert "--resume" in raised.value.__notes__[0]
    assert not list(folder.glob(".*")), "half a checkpoint stayed"
    assert run(case, folder).report.steps_charged <= STEPS


def breaks(*_: object, **__: object) -> Any:
    raise ValueError("it broke")


PARTS = {
    "curve.png": (chart, "draw"),
    "evaluations.npz": (reports, "evaluations"),
    "report.md": (pages, "markdown"),
    "report.html": (pages, "html"),
    "before.mp4": (account, "film"),
    "diagnosis": (account, "diagnose"),
    "bundle": (keeping.Agent, "save"),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_report_that_fails_is_a_note_in_it(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name = PARTS[part]
    usual = getattr(owner, name)

    def only(agent: Any, path: Path) -> Any:
        return usual(agent, path) if path.suffix else fail(MisfitError("it broke"))

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, only if part == "bundle" else breaks)
        done = run("ppo", folder)
    assert any(note.startswith(f"no {part}: ") and "it broke" in note for note in done.report.notes), done.report.notes
    assert read(folder).to_json() == done.report.to_json()
    assert (folder / "agent.zip").exists()
    others = {"report.md", "report.html", "curve.png", "evaluations.npz", "bundle"} - {part}
    assert {path.name for path in folder.iterdir()} >= others
    assert not (folder / part).exists()
    assert part == "report.html" or f"no {part}" in (folder / "report.html").read_text() or part == "report.md"
    again = run("ppo", folder, callback=never)
    assert again.report.to_json() == done.report.to_json()
    assert same(weights(again.agent), weights(done.agent))


@pytest.mark.parametrize("case", ["ppo", "sac-16"])
def test_a_run_that_diverged_does_not_diverge_again(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def poison(scope: dict[str, Any], _: dict[str, Any]) -> bool:
        if scope["self"].num_timesteps >= 230:
            next(scope["self"].policy.parameters()).data.fill_(float("nan"))
        return True

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Episodes, "judging", breaks)
        with pytest.raises(ValueError, match="it broke"):
            run(case, folder, callback=poison)
    report = run(case, folder, callback=never).report
    (said,) = [note for note in report.notes if "training diverged" in note]
    assert "no longer a finite number" in said
    assert not any("resumed" in note for note in report.notes)
