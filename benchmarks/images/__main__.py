"""Measure what `acclimate finetune` brings to an agent that sees pictures, beside SB3's `learn`.

    python -m benchmarks.images            # the agent, every missing cell, then the table in docs/benchmarks.md
    python -m benchmarks.images --table    # the table alone

One core; a cell is written to disk when it ends, so the benchmark resumes where it was stopped.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from benchmarks.images.cells import missing, run_cell
from benchmarks.images.table import write_table


def main() -> None:
    """Run the missing cells and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.images",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--table", action="store_true", help="only write the table")
    if not parser.parse_args().table:
        torch.set_num_threads(1)
        for world, row, seed in missing():
            cell = run_cell(world, row, seed)
            print(f"{world} | {row} | seed {seed}: {np.mean(cell.target):.1f} in {cell.seconds:.0f} s", flush=True)
    write_table()


if __name__ == "__main__":
    main()
