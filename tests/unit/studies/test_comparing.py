"""Cells: paired, counted, run in any order, run again where they were killed, named where they failed."""

from __future__ import annotations

import contextlib
import csv
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acclimate.agents.load import load
from acclimate.errors import ConfigError, TaskError
from acclimate.studies import comparing, workers
from acclimate.studies.cell import Cell, Key
from acclimate.studies.comparing import compare, keys, read
from acclimate.studies.running import run_cell
from acclimate.studies.study import Row, Study
from acclimate.studies.worker import CELLS
from acclimate.tasks.task import Task
from tests.unit.studies.world import saved, study
from tests.world import Dot, agent

ROOT = Path(__file__).parents[3]


def table(folder: Path) -> list[list[str]]:
    """Return the cells of a study without their clocks."""
    with (folder / "compare.csv").open(encoding="utf-8") as file:
        return [row[:-2] for row in csv.reader(file)]


def page(folder: Path) -> str:
    """Return the tables of a study without their clocks."""
    return re.sub(r" steps, [\d.,e+-]+ s ", " steps ", (folder / "compare.md").read_text())


def live(name: str = "ppo", **more: Any) -> Study:
    """Return a study whose agent is an object, which runs in this process."""
    return study(agent(name), name, **more)


@pytest.mark.parametrize("name", ["ppo", "sac", pytest.param("dqn", marks=pytest.mark.nightly)])
def test_every_row_is_there_and_paired_and_its_steps_are_all_of_them(name: str, tmp_path: Path) -> None:
    Dot.steps_of_all = 0
    real = Dot.step

    def counting(self: Dot, action: Any) -> Any:
        Dot.steps_of_all += 1
        return real(self, action)

    asked = live(name, seeds=1)
    pushed = Task(Dot, env_kwargs={**asked.cases[0].task.env_kwargs, "offset": 0.5})
    home = Task(Dot, env_kwargs=asked.cases[0].task.env_kwargs)
    asked = replace(asked, cases=(replace(asked.cases[0], task=pushed, source=home),))
    Dot.step = counting  # type: ignore[method-assign]
    try:
        for key in keys(asked):
            before = Dot.steps_of_all
            cell = run_cell(asked, key, tmp_path / key.folder)
            assert cell.steps.target + cell.steps.measuring + cell.steps.source == Dot.steps_of_all - before, key
            assert len(cell.last.target) == len(cell.last.source or ()) == 3
    finally:
        Dot.step = real  # type: ignore[method-assign]
    rows = {key.row: Cell.read(tmp_path / key.folder, key) for key in keys(asked)}
    assert list(rows) == ["as it is", "nothing", "random", "naive", "competent", "scratch", "acclimate"]
    assert rows["acclimate"].kept is not None  # type: ignore[union-attr]
    assert all(cell.kept is None for row, cell in rows.items() if row != "acclimate")  # type: ignore[union-attr]
    assert all(len(cell.curve) >= 2 for row, cell in rows.items() if cell.steps.training)  # type: ignore[union-attr]
    assert rows["as it is"].steps.training == 0  # type: ignore[union-attr]


def test_a_cell_is_the_same_whatever_ran_before_it(tmp_path: Path) -> None:
    asked = live()
    every = list(keys(asked))
    first = {
        key: replace(run_cell(asked, key, tmp_path / "a" / key.folder), seconds=0.0, learning=0.0) for key in every
    }
    random.Random(1).shuffle(every)
    again = {
        key: replace(run_cell(asked, key, tmp_path / "b" / key.folder), seconds=0.0, learning=0.0) for key in every
    }
    assert first == again
    assert first[Key(0, "half the pay", "naive")].last != first[Key(1, "half the pay", "naive")].last


def test_the_best_is_that_of_the_highest_mean_for_everybody(tmp_path: Path) -> None:
    asked = live(points=4)
    for row in ("naive", "acclimate"):
        cell = run_cell(asked, Key(0, "half the pay", row), tmp_path / row)
        at, _ = max(cell.curve[1:], key=lambda point: point[1])
        assert cell.best is not None
        assert cell.best.steps == at


def test_what_was_there_is_not_run_again_and_what_failed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Key] = []

    def counted(asked: Study, key: Key, folder: Path, **more: Any) -> Cell:
        ran.append(key)
        if key.row == "scratch" and broken:
            raise TaskError("the world is away")
        return run_cell(asked, key, folder, **more)

    monkeypatch.setattr("acclimate.studies.worker.run_cell", counted)
    broken, asked, said = True, live(), []
    first = compare(asked, tmp_path, say=said.append)
    assert len(ran) == len(list(keys(asked))) == 11
    named = Key(1, "half the pay", "scratch")
    assert first.findings.missing[named] == "no numbers: TaskError: the world is away"
    page = (tmp_path / "compare.html").read_text()
    assert "the world is away" in page
    assert "9 of 11 cells" in " ".join(page.split())
    assert any("failed: no numbers: TaskError" in line for line in said)
    ran.clear()
    broken = False
    assert compare(asked, tmp_path).findings.missing == {}
    assert {key.row for key in ran} == {"scratch"}


def test_another_study_does_not_go_into_the_folder(tmp_path: Path) -> None:
    path = saved("ppo", tmp_path)
    asked = study(path, seeds=1, baselines=())
    asked.save(tmp_path / "out" / "study.yaml") if (tmp_path / "out").mkdir() else None
    (tmp_path / "out" / "study.yaml").write_text("cases: []")
    with pytest.raises(ConfigError):
        compare(asked, tmp_path / "out")
    asked.save(tmp_path / "out" / "study.yaml")
    with pytest.raises(ConfigError, match="another steps"):
        compare(replace(asked, steps=301), tmp_path / "out")
    with pytest.raises(ConfigError, match="another row `acclimate`"):
        compare(replace(asked, rows=(Row(name="acclimate", recipe={"averaging": 0.5}),)), tmp_path / "out")
    with pytest.raises(ConfigError, match="another case `half the pay`"):
        compare(replace(asked, cases=(replace(asked.cases[0], steps=299),)), tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("all of it")
    with pytest.raises(ConfigError, match="something else"):
        compare(asked, tmp_path / "full")


def test_a_study_grows_by_seeds_and_rows(tmp_path: Path) -> None:
    asked = study(saved("ppo", tmp_path), seeds=1, baselines=())
    compare(asked, tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob(f"{CELLS}/*/cell.json")}
    more = replace(asked, seeds=2, rows=(*asked.rows, Row(name="l2sp", recipe={"methods": ["l2sp"]})))
    assert compare(more, tmp_path / "out").findings.missing == {}
    assert len(list((tmp_path / "out").glob(f"{CELLS}/*/cell.json"))) == 7
    assert all(path.stat().st_mtime_ns == at for path, at in times.items()), "what was there is not run again"
    assert Study.load(tmp_path / "out" / "study.yaml", trust=True) == more


def test_an_agent_or_a_world_of_python_has_one_process(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1 worker"):
        compare(live(), tmp_path, workers=2)
    asked = study(agent("ppo"))
    own = replace(asked, cases=(replace(asked.cases[0], task=Task(Dot, env_kwargs={"offset": 1.0}), source=Task(Dot)),))
    done = compare(replace(own, seeds=1), tmp_path / "own")
    assert done.findings.missing == {}
    assert "is an object" in (tmp_path / "own" / "compare.html").read_text()


def started(folder: Path, out: Path, count: int) -> subprocess.Popen[bytes]:
    code = (
        "import signal, sys, warnings; warnings.simplefilter('ignore')\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        "from acclimate.studies.comparing import compare\n"
        "from acclimate.studies.study import Study\n"
        f"compare(Study.load({str(folder / 'asked.yaml')!r}, trust=True), {str(out)!r}, workers={count})\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=ROOT, start_new_session=True)


def test_a_study_that_was_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    asked = study(saved("ppo", tmp_path), rows=(Row(name="acclimate"), Row(name="kl", recipe={"methods": ["kl"]})))
    asked.save(tmp_path / "asked.yaml")
    whole = started(tmp_path, tmp_path / "whole", 2)
    killed = tmp_path / "killed"
    for ended in (2, 6):
        going = started(tmp_path, killed, 2)
        while len(list(killed.glob(f"{CELLS}/*/cell.json"))) < ended and going.poll() is None:
            time.sleep(0.02)
        os.killpg(going.pid, signal.SIGKILL)
        going.wait()
    assert started(tmp_path, killed, 1).wait() == 0
    assert whole.wait() == 0
    assert len(table(killed)) == 1 + len(list(keys(asked)))
    assert table(killed) == table(tmp_path / "whole")
    assert page(killed) == page(tmp_path / "whole")


def test_a_process_that_dies_is_replaced_and_its_cell_named_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = tmp_path / "dying.py"
    dying.write_text(
        "import json, os, sys\n"
        "sys.stdin.readline()\n"
        "for line in sys.stdin:\n"
        "    if json.loads(line)['row'] == 'naive':\n"
        "        os._exit(9)\n"
        "    print(json.dumps({'failed': None}), flush=True)\n"
    )
    monkeypatch.setattr(workers.Process, "command", lambda self: [sys.executable, str(dying)])
    ended: dict[Key, str | None] = {}
    wanted = list(keys(study("agent.zip")))
    workers.run_all(study("agent.zip"), wanted, tmp_path, 2, ended.__setitem__, trust=False)
    assert set(ended) == set(wanted)
    assert {key.row for key, why in ended.items() if why} == {"naive"}
    assert "its process ended with 9, 2 times" in str(ended[Key(0, "half the pay", "naive")])


def test_a_damaged_cell_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    asked = live(seeds=1, baselines=())
    compare(asked, tmp_path)
    key = next(keys(asked))
    (tmp_path / CELLS / key.folder / "cell.json").write_text('{"case": 3')
    with pytest.raises(ConfigError, match="remove it, and the cell is run again"):
        read(asked, tmp_path)


def test_times_left_are_told_with_the_leaderboard() -> None:
    assert [comparing._lasting(seconds) for seconds in (4.2, 61, 7300)] == ["4 s", "1 min", "2 h 1 min"]


def test_agents_are_loaded_by_path(tmp_path: Path) -> None:
    path = saved("ppo", tmp_path)
    assert study(path).cases[0].loaded().algorithm == load(path).algorithm


def test_two_do_not_work_in_one_folder(tmp_path: Path) -> None:
    asked = live(seeds=1, baselines=())
    tmp_path.mkdir(exist_ok=True)
    with comparing.alone(tmp_path), pytest.raises(ConfigError, match="another process works"):
        compare(asked, tmp_path)
    assert compare(asked, tmp_path).findings.missing == {}


def test_a_cell_of_another_agent_or_recipe_is_not_taken_for_this_one(tmp_path: Path) -> None:
    path = saved("ppo", tmp_path)
    asked = study(path, seeds=1, baselines=())
    compare(asked, tmp_path / "out")
    agent("a2c").save(Path(path))
    with pytest.raises(ConfigError, match="made of another agent"):
        compare(asked, tmp_path / "out")


def test_a_row_or_a_case_that_the_study_has_not_is_an_error(tmp_path: Path) -> None:
    for key in (Key(0, "half the pay", "lora"), Key(0, "elsewhere", "naive")):
        with pytest.raises(ConfigError, match="the study has no"):
            run_cell(live(), key, tmp_path / "cell")


def test_fewer_seeds_leave_the_studys_file_its_own(tmp_path: Path) -> None:
    asked = study(saved("ppo", tmp_path), baselines=())
    compare(asked, tmp_path / "out")
    few = replace(asked, seeds=1)
    assert len(compare(few, tmp_path / "out").findings.cells) == 4
    assert Study.load(tmp_path / "out" / "study.yaml", trust=True) == asked


def test_what_lies_in_the_current_folder_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, here = saved("ppo", tmp_path), tmp_path / "here"
    here.mkdir()
    (here / "yaml.py").write_text("open('executed', 'w').close()\nraise SystemExit\n")
    monkeypatch.chdir(here)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))
    assert compare(study(path, seeds=1, baselines=()), tmp_path / "out").findings.missing == {}
    assert not (here / "executed").exists()


def in_the_middle(folder: Path, out: Path) -> subprocess.Popen[bytes]:
    """Begin a study that takes long, and return it while it trains."""
    study(saved("ppo", folder), steps=2_000_000).save(folder / "asked.yaml")
    going = started(folder, out, 2)
    while not list(out.glob(f"{CELLS}/*naive*")):
        assert going.poll() is None
        time.sleep(0.05)
    return going


def running(out: Path) -> list[str]:
    """Return the processes that work for a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            told = place.read_bytes()
            if b"acclimate.studies.worker" in told and str(out).encode() in told:
                found.append(place.parent.name)
    return found


def is_soon(wanted: Callable[[], bool]) -> bool:
    """Wait for something, ten seconds at most."""
    for _ in range(100):
        if wanted():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc here")
def test_a_worker_ends_with_who_began_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    going = in_the_middle(tmp_path, out)
    assert running(out)
    going.kill()
    going.wait()
    assert is_soon(lambda: not running(out))


def test_an_interrupt_ends_at_once_and_no_cell_failed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    going = in_the_middle(tmp_path, out)
    os.kill(going.pid, signal.SIGINT)
    assert going.wait(timeout=20) != 0
    assert list(out.glob(f"{CELLS}/*/failed.txt")) == []
