"""Tune one small agent with each registered method, beside `full`: what it brings, keeps and moves.

    python -m benchmarks.methods                   # every missing cell, then the table in docs/benchmarks.md
    python -m benchmarks.methods --table           # the table alone
    python -m benchmarks.methods --only kl --only full --seeds 1 --steps 2000 --cells cells

A cell is one method and seed; it is written when it ends, so the benchmark resumes where it was stopped. Seed i tunes
pretrained agent i, so that methods are paired by agent and by episodes. A method that PPO refuses is tuned on SAC.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from acclimate.registry import METHODS
from benchmarks.methods.cells import CELLS, run_cell, wanted
from benchmarks.methods.table import body
from benchmarks.page import put


def main() -> None:
    """Run the missing cells and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.methods", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, choices=(1, 2, 3))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--steps", type=int, help="target steps of each run; by default those of the table")
    parser.add_argument("--only", action="append", choices=METHODS.names(), help="only these methods")
    parser.add_argument("--cells", default=str(CELLS), help="folder of the cells; the page is written for the own one")
    parser.add_argument("--table", action="store_true", help="only write the table")
    arguments = parser.parse_args()
    if not arguments.table:
        jobs = wanted(arguments)
        print(f"{len(jobs)} cells to run", flush=True)
        with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
            for line in pool.imap_unordered(run_cell, jobs):
                print(line, flush=True)
    shown = body(Path(arguments.cells))
    if Path(arguments.cells) == CELLS:
        put("methods", shown)
    else:
        print(shown)


if __name__ == "__main__":
    main()
