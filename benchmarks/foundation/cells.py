"""The cells of the foundation benchmark: which are missing, and how one is run and written.

A cell is one case, row and seed; it is written to disk when it ends, so the benchmark resumes where it was stopped.
Worker processes import this file and begin at `run_cell`, so nothing heavy is imported before that.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

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
