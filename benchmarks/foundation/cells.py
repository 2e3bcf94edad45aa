"""Measure what `acclimate finetune` brings on real agents, beside what users do today.

    python -m benchmarks.foundation                 # every missing cell, then the table in docs/benchmarks.md
    python -m benchmarks.foundation --table         # the table alone
    python -m benchmarks.foundation --case "PPO Hopper" --row acclimate --seeds 3

A cell is one case, row and seed; it is written to disk when it ends, so the benchmark resumes where it was stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[2]
CELLS = ROOT / "benchmarks" / "results" / "foundation"
ROWS = ("zero-shot", "naive", "naive, normaliser carried", "scratch", "acclimate")


def path_of(case: str, row: str, seed: int) -> Path:
    """Return where a cell lies."""
    name = "-".join("".join(c if c.isalnum() or c == "." else " " for c in f"{case} {row}").lower().split())
    return CELLS / f"{name}-s{seed}.json"


def run_cell(job: tuple[str, str, int, str]) -> str:
    """Run one cell and write it."""
    import warnings

    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    from acclimate.files.atomic import write_atomic
    from benchmarks.foundation import rows
    from benchmarks.foundation.cases import CASES

    name, row, seed, zoo = job
    case = next(case for case in CASES if case.name == name)
    with tempfile.TemporaryDirectory() as scratch:
        if row == "acclimate":
            cell = rows.ours(case, seed, Path(zoo), Path(scratch) / "run")
        else:
            table = {
                "zero-shot": rows.zero_shot,
                "naive": rows.naive,
                "naive, normaliser carried": rows.naive_carried,
                "scratch": rows.scratch,
            }
            cell = table[row](case, seed, Path(zoo))
    path = path_of(name, row, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(dataclasses.asdict(cell)))
    mean = sum(cell.target) / len(cell.target)
    return f"{name} | {row} | seed {seed}: {mean:.1f} in {cell.seconds:.0f} s"


def wanted(arguments: argparse.Namespace) -> list[tuple[str, str, int, str]]:
    """Return the cells that are still missing, seeds outermost so that a table is soon complete."""
    from benchmarks.foundation.cases import CASES

    jobs = []
    for seed in range(arguments.seeds):
        for case in CASES:
            for row in ROWS:
                chosen = arguments.case.lower() in case.name.lower() and (not arguments.row or row in arguments.row)
                once = row == "zero-shot" and seed > 0
                normalised = (Path(arguments.zoo) / case.zip).with_suffix("").joinpath("vecnormalize.pkl").exists()
                same = row == "naive, normaliser carried" and not normalised
                if chosen and not once and not same and not path_of(case.name, row, seed).exists():
                    jobs.append((case.name, row, seed, arguments.zoo))
    return jobs


def main() -> None:
    """Run the missing cells and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", default=os.environ.get("ACCLIMATE_ZOO", str(ROOT.parent / "shared" / "zoo")))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--case", default="", help="only cases whose name holds this")
    parser.add_argument("--row", action="append", choices=ROWS, help="only these rows")
    parser.add_argument("--table", action="store_true", help="only write the table")
    arguments = parser.parse_args()
    if not arguments.table:
        jobs = wanted(arguments)
        print(f"{len(jobs)} cells to run", flush=True)
        context = multiprocessing.get_context("spawn")
        with context.Pool(arguments.jobs, maxtasksperchild=1) as pool:
            for line in pool.imap_unordered(run_cell, jobs):
                print(line, flush=True)
    from benchmarks.foundation.table import write_table

    write_table()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
