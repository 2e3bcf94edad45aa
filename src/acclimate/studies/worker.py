"""A process that runs cells: it reads a study and then keys, a line of JSON each, and answers each key with a line.

    python -P -m acclimate.studies.worker OUT

It takes one thread: cells that share a machine must not wait for each other's. It ends with who began it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

from acclimate.reports.missing import Missing
from acclimate.studies.cell import Key, fail
from acclimate.studies.running import run_cell
from acclimate.studies.study import Study

CELLS = "cells"


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

    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what environments print is no answer
    told = json.loads(sys.stdin.readline())
    # It is the study that the user gave: what its tasks name is his.
    study, trust, out = Study.from_config(told["study"], trust=True), bool(told["trust"]), Path(sys.argv[1])
    if trust or any(":" in str(case.task.env) for case in study.cases):
        sys.path.append(os.getcwd())
    for line in sys.stdin:
        key = Key(**json.loads(line))
        answers.write(json.dumps({"failed": tried(study, key, out, trust=trust)}) + "\n")


def _end_with(parent: int) -> None:
    """End this process when its parent has ended: nobody would hear of the cell, and another may begin it."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
