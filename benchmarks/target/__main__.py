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
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.target.cells import ROOT, missing, run_all
from benchmarks.target.table import write_table


def main() -> None:
    """Run the missing cells and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.target", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", default=os.environ.get("ACCLIMATE_ZOO", str(ROOT.parent / "shared" / "zoo")))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="cells at once, each on its own core")
    parser.add_argument("--case", default="", help="only cases whose name holds this")
    parser.add_argument("--row", action="append", help="only these rows")
    parser.add_argument("--table", action="store_true", help="only write the table")
    arguments = parser.parse_args()
    if not arguments.table:
        jobs = missing(arguments)
        print(f"{len(jobs)} cells to run", flush=True)
        run_all(jobs, arguments.jobs, arguments.zoo)
    write_table()


if __name__ == "__main__":
    main()
