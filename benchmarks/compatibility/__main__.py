"""Try every kind of observation and action with every algorithm, and write docs/compatibility.md.

    python -m benchmarks.compatibility            # every missing cell, then the page
    python -m benchmarks.compatibility --sample   # the covering sample alone
    python -m benchmarks.compatibility --anew     # every cell, whatever lies on disk

A cell is written to disk when it ends, so the run resumes where it was stopped.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.compatibility.cells import cells
from benchmarks.compatibility.results import path_of, run
from benchmarks.compatibility.sample import sample
from benchmarks.compatibility.table import write_page


def main() -> None:
    """Run the missing cells and write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compatibility",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sample", action="store_true", help="only the covering sample")
    parser.add_argument("--anew", action="store_true", help="run what is on disk as well")
    arguments = parser.parse_args()
    wanted = [
        cell for cell in (sample() if arguments.sample else cells()) if arguments.anew or not path_of(cell).exists()
    ]
    print(f"{len(wanted)} cells to run", flush=True)
    for cell in wanted:
        print(", ".join(cell), run(cell), sep=": ", flush=True)
    write_page()


if __name__ == "__main__":
    main()
