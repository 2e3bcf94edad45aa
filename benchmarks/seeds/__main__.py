"""Measure whether seeds of one comparison should be trained together: as one batched computation, or a process each.

    python -m benchmarks.seeds                     # both, then the tables in docs/benchmarks.md
    python -m benchmarks.seeds --only products --rounds 30 --no-table

The first part takes K networks forward and back as one batched computation and one after another, as the engine would;
the second K whole fine-tuning runs at once, one on each core, and one after another. All ways take turns.
"""

from __future__ import annotations

import argparse

from benchmarks.conditions import begin
from benchmarks.page import put
from benchmarks.seeds.measure import PASSES, products, runs


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.seeds", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--run-rounds", type=int, default=3, help="of whole runs")
    parser.add_argument("--only", choices=("products", "runs"))
    parser.add_argument("--no-table", action="store_true", help="print and write nothing")
    arguments = parser.parse_args()
    begin(1, kernel=False)
    rounds = f"{arguments.rounds} rounds of {PASSES} passes, and of {arguments.run_rounds} of whole runs"
    lines = [f"Median and quartiles of {rounds}; one thread for each process.", ""]
    if arguments.only != "runs":
        lines += [*products(arguments.rounds), ""]
    if arguments.only != "products":
        lines += runs(arguments.run_rounds)
    if not arguments.no_table and arguments.only is None:
        put("seeds", "\n".join(lines))


if __name__ == "__main__":
    main()
