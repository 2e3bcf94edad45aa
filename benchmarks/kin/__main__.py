"""Measure what `acclimate finetune` brings to a recurrent and to a masked agent, beside sb3-contrib's own training.

    python -m benchmarks.kin                # every missing cell, then the table in docs/benchmarks.md
    python -m benchmarks.kin --table        # the table alone

Both agents are trained here first. A cell is one case, row and seed; it is written to disk when it ends, so the
benchmark resumes where it was stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from acclimate.files.atomic import write_atomic
from benchmarks.kin.cases import CASES, Case
from benchmarks.kin.rows import ROWS, agent_of
from benchmarks.kin.table import CELLS, path_of, write_table


def run(case: Case, row: str, seed: int) -> str:
    """Run one cell, write it, and say what came of it."""
    agent = agent_of(case, CELLS / "agents")
    with tempfile.TemporaryDirectory() as scratch:
        cell = ROWS[row](case, agent, seed, Path(scratch) / "run")
    write_atomic(path_of(case, row, seed), json.dumps(dataclasses.asdict(cell)) + "\n")
    return f"{case.name} | {row} | seed {seed}: {sum(cell.target) / len(cell.target):.4g} in {cell.seconds:.0f} s"


def main() -> None:
    """Run the missing cells and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kin", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--case", default="", help="only cases whose name holds this")
    parser.add_argument("--table", action="store_true", help="only write the table")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for seed in range(0 if arguments.table else arguments.seeds):
        for case in CASES:
            for row in ROWS:
                chosen = arguments.case.lower() in case.name.lower()
                once = row == "zero-shot" and seed > 0
                if chosen and not once and not path_of(case, row, seed).exists():
                    print(run(case, row, seed), flush=True)
    write_table()


if __name__ == "__main__":
    main()
