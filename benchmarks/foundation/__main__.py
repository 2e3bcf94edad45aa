"""Measure what `acclimate finetune` brings on real agents, beside what users do today.

    python -m benchmarks.foundation                 # every missing cell, then the table in docs/benchmarks.md
    python -m benchmarks.foundation --table         # the table alone
    python -m benchmarks.foundation --case "PPO Hopper" --row acclimate --seeds 3

A cell is one case, row and seed; it is written to disk when it ends, so the benchmark resumes where it was stopped.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.foundation.cells import ROOT, ROWS, run_cell, wanted
from benchmarks.foundation.table import write_table


def main() -> None:
    """Run the missing cells and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.foundation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
    write_table()


if __name__ == "__main__":
    main()
