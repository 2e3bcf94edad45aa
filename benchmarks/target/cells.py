"""The cells of the benchmark of the time until a return: which are missing, and how one is run and written.

A cell is one case, row and seed, in a process and on a core of its own: `run_all` begins such a process, which runs
this file and nothing of the command, and so has imported no table.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import queue
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.foundation import cells as foundation

ROOT = foundation.ROOT
CELLS = ROOT / "benchmarks" / "results" / "target"
BUDGETS = {
    "PPO CartPole, longer pole": 50_000,
    "PPO HalfCheetah, gravity 0.5": 100_000,
    "PPO HalfCheetah, gravity 2": 100_000,
    "SAC HalfCheetah, gravity 2": 40_000,
}
"""Steps of each case: those of `benchmarks.foundation`, and twice as many for SAC, whose rows end near the target."""


def path_of(case: str, row: str, seed: int) -> Path:
    """Return where a cell lies."""
    return CELLS / foundation.path_of(case, row, seed).name


def wanted(case: str, zoo: str) -> float:
    """Return the return wanted, after measuring the pretrained agent if that has not been done."""
    zero_shot = foundation.path_of(case, "zero-shot", 0)
    if not zero_shot.exists():
        foundation.run_cell((case, "zero-shot", 0, zoo))
    cell = json.loads(zero_shot.read_text(encoding="utf-8"))
    there, home = (sum(cell[task]) / len(cell[task]) for task in ("target", "source"))
    return (there + home) / 2


def run_cell(name: str, row: str, seed: int, zoo: str) -> str:
    """Run one cell and write it."""
    import tempfile
    import warnings

    warnings.simplefilter("ignore")
    from acclimate.files.atomic import write_atomic
    from benchmarks.foundation.cases import CASES
    from benchmarks.target.reaching import run

    case = next(case for case in CASES if case.name == name)
    case = dataclasses.replace(case, steps=BUDGETS[name])
    with tempfile.TemporaryDirectory() as room:
        cell = run(case, row, seed, wanted(name, zoo), Path(zoo), Path(room) / "run")
    CELLS.mkdir(parents=True, exist_ok=True)
    write_atomic(path_of(name, row, seed), json.dumps(dataclasses.asdict(cell)) + "\n")
    end = cell.curve[-1]
    said = "reached" if cell.reached else "not reached"
    return f"{name} | {row} | seed {seed}: {said} in {end.steps:,} steps, {end.seconds:.0f} s, return {end.value:.0f}"


def missing(arguments: argparse.Namespace) -> list[tuple[str, str, int]]:
    """Return the cells that are still to run, seeds outermost so that a table is soon complete."""
    from benchmarks.foundation.cases import CASES
    from benchmarks.target.reaching import CARRIED, ROWS

    jobs = []
    for seed in range(arguments.seeds):
        for case in CASES:
            normalised = (Path(arguments.zoo) / case.zip).with_suffix("").joinpath("vecnormalize.pkl").exists()
            for row in ROWS:
                chosen = arguments.case.lower() in case.name.lower() and (not arguments.row or row in arguments.row)
                there = case.name in BUDGETS and (normalised or row != CARRIED)
                if chosen and there and not path_of(case.name, row, seed).exists():
                    jobs.append((case.name, row, seed))
    return jobs


def run_all(jobs: list[tuple[str, str, int]], at_once: int, zoo: str) -> None:
    """Run cells in processes of their own, each on a core that no other has."""
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    free: queue.SimpleQueue[int] = queue.SimpleQueue()
    for core in mine[:at_once]:
        free.put(core)

    def run(job: tuple[str, str, int]) -> None:
        core = free.get()
        try:
            command = [sys.executable, "-m", "benchmarks.target.cells", json.dumps([core, *job, zoo])]
            subprocess.run(command, check=True, cwd=ROOT)
        finally:
            free.put(core)

    with ThreadPoolExecutor(min(at_once, len(mine))) as pool:
        list(pool.map(run, jobs))


def work(core: int, name: str, row: str, seed: int, zoo: str) -> None:
    """Run one cell in this process, which from here on has one core, and say what came of it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    print(run_cell(name, row, seed, zoo), flush=True)


if __name__ == "__main__":
    work(*json.loads(sys.argv[1]))
