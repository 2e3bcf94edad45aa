"""A process that runs cells: it reads their keys, a line of JSON each, and answers each with a line.

    python -m acclimate.studies.worker OUT [--trust]

It takes one thread: cells that share a machine must not wait for each other's.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

from acclimate.reports.missing import Missing
from acclimate.studies.cell import Key, fail
from acclimate.studies.running import run_cell
from acclimate.studies.study import Study

STUDY, CELLS = "study.yaml", "cells"


def tried(study: Study, key: Key, out: Path, *, trust: bool) -> str | None:
    """Run a cell; return why it failed, None if it did not."""
    folder = out / CELLS / key.folder
    missing = Missing()
    with missing.trying("numbers"):
        run_cell(study, key, folder, trust=trust)
    for why in missing.notes:
        fail(folder, why)
        return why
    return None


def main() -> None:
    """Serve until the keys end."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    out, trust = Path(sys.argv[1]), "--trust" in sys.argv[2:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what environments print is no answer
    # Whoever began this has checked that the study in the folder is the one that its user gave.
    study = Study.load(out / STUDY, trust=True)
    if trust or any(":" in str(case.task.env) for case in study.cases):
        sys.path.append(os.getcwd())
    for line in sys.stdin:
        key = Key(**json.loads(line))
        answers.write(json.dumps({"failed": tried(study, key, out, trust=trust)}) + "\n")


if __name__ == "__main__":
    main()
