"""Measure how fast the engine trains beside its peers: environment steps a second, end to end: `make bench`.

    python -m benchmarks.engine                      # every case, then tables and chart in docs/
    python -m benchmarks.engine --case SAC --rounds 9
    python -m benchmarks.engine --without sbx        # no other virtual environment
    python -m benchmarks.engine --threads 1          # in place of what each side takes by itself: a table of its own
    python -m benchmarks.engine --page               # tables and chart alone
    acclimate native && python -m benchmarks.engine  # with the kernel: a table of its own; --no-kernel leaves it out

The sides take turns, a round each, so that what else the machine does falls on all of them. SBX trains in a process of
its own that waits between its rounds. The zoo's agent needs ACCLIMATE_ZOO.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import warnings

from acclimate.files.atomic import write_atomic
from benchmarks.conditions import begin
from benchmarks.engine import page
from benchmarks.engine.cases import CASES
from benchmarks.engine.rounds import measure, shown

ROUNDS = 7
REMEDY = "`pip install 'acclimate[atari]'` brings ale-py and OpenCV"


def main() -> None:
    """Measure the chosen cases, then write tables and chart."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engine", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", default="", help="only cases whose name contains this")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--without", action="append", default=[], help="a side to leave out: sb3, sbx, cleanrl")
    parser.add_argument("--threads", type=int, help="of every side but SBX; default: what each takes by itself")
    parser.add_argument("--no-kernel", action="store_true", help="as where `acclimate native` has built none")
    parser.add_argument("--page", action="store_true", help="write tables and chart alone")
    arguments = parser.parse_args()
    conditions = begin(arguments.threads, kernel=not arguments.no_kernel)
    warnings.simplefilter("ignore")
    for case in () if arguments.page else CASES:
        if arguments.case.lower() not in case.name.lower():
            continue
        if case.lacks:
            print(f"{case.name}: left out, as {' and '.join(case.lacks)} cannot be imported; {REMEDY}", flush=True)
        else:
            cell = measure(case, arguments.rounds, arguments.without, conditions)
            page.CELLS.mkdir(parents=True, exist_ok=True)
            write_atomic(page.path_of(case.name, conditions), json.dumps(cell, indent=1) + "\n")
            print(f"{case.name}: {shown(cell)}", flush=True)
    page.write()


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"SBX could not be installed ({error}); --without sbx leaves it out") from error
