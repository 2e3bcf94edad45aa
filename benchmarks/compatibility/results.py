"""What came of a cell, on disk as soon as it is known."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from acclimate.errors import AcclimateError
from acclimate.files.atomic import write_atomic
from benchmarks.compatibility.cells import Cell, Refused
from benchmarks.compatibility.checks import equals_stock, goes_on, tunable, tuned
from benchmarks.page import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "cells" / "compatibility"


def path_of(cell: Cell) -> Path:
    """Return where the result of a cell lies."""
    name = "-".join("".join(c if c.isalnum() else " " for c in " ".join(cell)).lower().split())
    return RESULTS / f"{name}.json"


def run(cell: Cell) -> dict[str, Any]:
    """Try a cell and write what came of it; a promise that does not hold is written with its reason."""
    try:
        found = _tried(cell)
    except Refused as refusal:
        found = {"refused": str(refusal)}
    path = path_of(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(found))
    return found


def _tried(cell: Cell) -> dict[str, Any]:
    model, found = cell.model(), {}
    try:
        agent = equals_stock(cell, model)
        found["equal"] = "yes"
        if why := tunable(agent):
            return {**found, "tuned": why}
        with tempfile.TemporaryDirectory() as place:
            tuned(cell, agent, Path(place) / "run")
            found["tuned"] = "yes"
            goes_on(cell, Path(place) / "run")
            found["goes on"] = "yes"
    except (AssertionError, AcclimateError) as error:
        step = next(name for name in ("equal", "tuned", "goes on") if name not in found)
        found[step] = str(error).splitlines()[0]
    return found
