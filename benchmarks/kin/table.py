"""The section of docs/benchmarks.md on recurrent and masked agents, from the cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.statistics.seeds import crossed
from benchmarks.kin.cases import CASES, Case
from benchmarks.kin.rows import EPISODES, ROWS
from benchmarks.page import ROOT, put

CELLS = ROOT / "benchmarks" / "results" / "kin"


def path_of(case: Case, row: str, seed: int) -> Path:
    """Return where a cell lies."""
    return CELLS / f"{case.algorithm}-{row.split(',')[0]}-s{seed}.json"


def cells_of(case: Case, row: str) -> list[dict[str, Any]]:
    """Return the cells of a row, in the order of seeds."""
    cells = [json.loads(path.read_text("utf-8")) for path in CELLS.glob(path_of(case, row, 0).name.replace("s0", "s*"))]
    return sorted(cells, key=lambda cell: cell["seed"])


def text(values: list[list[float]], sign: str = "") -> str:
    """Return `mean [low, high]` over seeds and the episodes that they share, or over these where there is one seed."""
    found = crossed(values).interval()
    return f"{found.value:{sign}.2f} [{found.low:{sign}.2f}, {found.high:{sign}.2f}]"


def section(case: Case) -> list[str]:
    """Return heading, table and paired differences of a case."""
    found = {row: cells for row in ROWS if (cells := cells_of(case, row))}
    lines = [f"### {case.name}", "", f"The change: {case.change}. {case.steps:,} steps there.", ""]
    lines += ["| row | target | source | seeds | steps | s |", "|---|---|---|--:|--:|--:|"]
    for row, cells in found.items():
        worlds = " | ".join(text([cell[world] for cell in cells]) for world in ("target", "source"))
        steps, seconds = max(cell["steps"] for cell in cells), np.median([cell["seconds"] for cell in cells])
        lines.append(f"| {row} | {worlds} | {len(cells)} | {steps:,} | {seconds:.0f} |")
    mine = np.array([cell["target"] for cell in found["acclimate"]])
    gaps = []
    for row in (row for row in found if row != "acclimate"):
        theirs = np.array([cell["target"] for cell in found[row]])
        gaps.append(f"{row} {text((mine - theirs).tolist(), '+')}")
    kept = sum(cell["extra"]["kept"] == "tuned" for cell in found["acclimate"])
    same = found["zero-shot"][0]["extra"]["identical"]
    stock = "the same returns, each to the last digit" if same else "**other returns**"
    return [
        *lines,
        "",
        f"acclimate minus: {'; '.join(gaps)}. The tuned agent was kept with {kept} of {len(mine)} seeds. The stock "
        f"evaluation of the untouched agent on the same {EPISODES} episodes has {stock}.",
        "",
    ]


def write_table() -> None:
    """Write the section."""
    put("kin", "\n".join(line for case in CASES if cells_of(case, "acclimate") for line in section(case)).rstrip())
