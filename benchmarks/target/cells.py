"""Measure what a user waits for: seconds of training, and steps, until the agent returns what it should.

    python -m benchmarks.target                    # every missing cell, one at a time, then the table in docs
    python -m benchmarks.target --case CartPole --row acclimate --seeds 1
    python -m benchmarks.target --table            # the table alone

A cell is one case, row and seed, in a process and on a core of its own; it is written when it ends, so the benchmark
resumes where it was stopped. The return wanted is half the way from what the pretrained agent returns in the changed
world to what it returns at home, both from the zero-shot cells of `benchmarks.foundation`.
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

os.environ.setdefault("OMP_NUM_THREADS", "1")

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
            command = [sys.executable, "-m", "benchmarks.target.cells", "--cell", json.dumps(job), "--core", str(core)]
            subprocess.run([*command, "--zoo", zoo], check=True, cwd=ROOT)
        finally:
            free.put(core)

    with ThreadPoolExecutor(min(at_once, len(mine))) as pool:
        list(pool.map(run, jobs))


def main() -> None:
    """Run the missing cells and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", default=os.environ.get("ACCLIMATE_ZOO", str(ROOT.parent / "shared" / "zoo")))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="cells at once, each on its own core")
    parser.add_argument("--case", default="", help="only cases whose name holds this")
    parser.add_argument("--row", action="append", help="only these rows")
    parser.add_argument("--table", action="store_true", help="only write the table")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {arguments.core})
        print(run_cell(*json.loads(arguments.cell), arguments.zoo), flush=True)
        return
    if not arguments.table:
        jobs = missing(arguments)
        print(f"{len(jobs)} cells to run", flush=True)
        run_all(jobs, arguments.jobs, arguments.zoo)
    from benchmarks.target.table import write_table

    write_table()


if __name__ == "__main__":
    main()
