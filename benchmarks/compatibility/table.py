"""docs/compatibility.md: a row for each cell, from what was tried."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acclimate.files.atomic import write_atomic
from acclimate.sb3.vocabulary import ALGORITHMS
from benchmarks.compatibility.cells import Cell, cells
from benchmarks.compatibility.results import path_of
from benchmarks.page import ROOT

PAGE = ROOT / "docs" / "compatibility.md"
OPENING = """# Every space, every algorithm

Written by `python -m benchmarks.compatibility`, which goes on where it was stopped; `--sample` runs the covering sample
that `make test` runs too. Each row was tried with tiny networks and worlds:

1. **equal**: `evaluate` gives what stock SB3's `predict` comes to, episode by episode, by its `VecNormalize` if any;
2. **tuned**: `finetune` with a source task and a folder ends with `report.json`, `report.html` and `agent.zip`;
3. **goes on**: stock SB3 loads that zip, and its normaliser, and trains on for 256 steps.

The vector is scaled by a `VecNormalize`, and so are both parts of the Dict with a normalised image; the other Dict has
an entry of each kind and no normaliser. A Discrete action is looked up in a dict by the world; a Box has another range
on each axis. Where SB3 itself has no such agent, its own words stand in the place of the answers.
"""
HEAD = "| observation | action | equal | tuned | goes on |\n|---|---|---|---|---|"


def line(cell: Cell, found: Mapping[str, Any] | None) -> str:
    """Return the row of a cell."""
    if found is None:
        return f"| {cell.observation} | {cell.action} | not tried | | |"
    if "refused" in found:
        return f"| {cell.observation} | {cell.action} | SB3: {_plain(found['refused'])} | | |"
    marks = " | ".join(_plain(str(found.get(name, ""))) for name in ("equal", "tuned", "goes on"))
    return f"| {cell.observation} | {cell.action} | {marks} |"


def _plain(text: str) -> str:
    return text.replace("|", "/").replace("<", "").replace(">", "")


def write_page() -> None:
    """Write the page from the results on disk."""
    found = {cell: _read(path_of(cell)) for cell in cells()}
    parts = [OPENING, _summary(found)]
    for name in ALGORITHMS:
        rows = [line(cell, one) for cell, one in found.items() if cell.algorithm == name]
        parts.append("\n".join([f"## {name}", "", HEAD, *rows, ""]))
    write_atomic(PAGE, "\n".join(parts))


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _summary(found: Mapping[Cell, Mapping[str, Any] | None]) -> str:
    kinds = Counter(_kind(one) for one in found.values())
    return f"Of {len(found)} cells: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}.\n"


def _kind(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "not tried"
    if "refused" in one:
        return "SB3 itself has no agent for"
    if all(one.get(name) == "yes" for name in ("equal", "tuned", "goes on")):
        return "whole"
    return "equal to SB3, not tunable" if one.get("equal") == "yes" else "with a fault"
