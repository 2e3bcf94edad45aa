"""Fine-tune public agents with and without `smooth`, attack them, and write the section of docs/benchmarks.md.

python -m benchmarks.robustness              # what is missing of the results, then the table
python -m benchmarks.robustness --case halfcheetah --again
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path

from acclimate.files.atomic import write_atomic
from benchmarks.robustness.cases import CELLS, RESULTS
from benchmarks.robustness.measure import run
from benchmarks.robustness.table import write_table


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", type=Path, default=Path(os.environ.get("ACCLIMATE_ZOO", "zoo")), help="the agents")
    parser.add_argument("--case", default="", help="only cases whose name contains this")
    parser.add_argument("--again", action="store_true", help="also those that have a result")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    RESULTS.mkdir(parents=True, exist_ok=True)
    for cell in CELLS:
        if arguments.case.lower() in cell.case.name.lower() and (arguments.again or not cell.path.exists()):
            result = run(cell, arguments.zoo)
            write_atomic(cell.path, json.dumps(result) + "\n")
            print(f"{cell.path.stem}: {result['cpu_seconds']:.0f} s", flush=True)
    write_table()


if __name__ == "__main__":
    main()
