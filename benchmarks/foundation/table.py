"""Turn the cells of the foundation benchmark into the table of docs/benchmarks.md."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.statistics.bootstrap import hierarchical_bootstrap, stratified_bootstrap
from acclimate.statistics.estimates import Estimate
from benchmarks.foundation.cases import CASES, Case
from benchmarks.foundation.cells import CELLS, ROWS
from benchmarks.page import put

KEPT, LAST = "**acclimate, kept**", "**acclimate, last**"

Rows = dict[str, list[dict[str, Any]]]


def read_cells() -> dict[str, Rows]:
    """Return the cells by case and row."""
    found: dict[str, Rows] = defaultdict(lambda: defaultdict(list))
    for path in sorted(Path(CELLS).glob("*.json")):
        cell = json.loads(path.read_text(encoding="utf-8"))
        found[cell["case"]][cell["row"]].append(cell)
    return found


def estimate(values: list[list[float]]) -> Estimate:
    """Return the mean with its interval: over seeds and episodes, or over episodes where there is one seed."""
    scores = np.asarray(values, dtype=np.float64)
    return hierarchical_bootstrap(scores) if len(scores) > 1 else stratified_bootstrap(scores[0])


def text(found: Estimate, *, sign: bool = False) -> str:
    """Return `mean [low, high]`."""
    plus = "+" if sign else ""
    return f"{found.value:{plus}.0f} [{found.low:{plus}.0f}, {found.high:{plus}.0f}]"


def columns(rows: Rows) -> dict[str, dict[str, Any]]:
    """Return the lines of a case's table: returns on both tasks and the steps, `last` as a line of its own."""
    lines: dict[str, dict[str, Any]] = {}
    for row in ROWS:
        cells = rows.get(row, [])
        if not cells:
            continue
        line = {
            "target": [cell["target"] for cell in cells],
            "source": [cell["source"] for cell in cells],
            "steps": max(cell["steps"] for cell in cells),
            "seconds": float(np.median([cell["seconds"] for cell in cells])),
        }
        if row != "acclimate":
            lines[row] = line
            continue
        lines[KEPT] = line
        last = [cell for cell in cells if cell["extra"]["last_target"]]
        if last:
            targets = [cell["extra"]["last_target"] for cell in last]
            sources = [cell["extra"]["last_source"] for cell in last]
            lines[LAST] = {**line, "target": targets, "source": sources}
    return lines


def differences(lines: dict[str, dict[str, Any]], ours: str) -> list[str]:
    """Return the paired differences of one of our lines to the others, in words."""
    found = []
    for name, line in lines.items():
        if name in (KEPT, LAST) or ours not in lines:
            continue
        mine, other = np.asarray(lines[ours]["target"]), np.asarray(line["target"])
        n = min(len(mine), len(other)) if name != "zero-shot" else len(mine)
        gap = mine[:n] - (other[:n] if name != "zero-shot" else other[:1])
        found.append(f"{name} {text(estimate(gap.tolist()), sign=True)}")
    return found


def case_table(case: Case, rows: Rows) -> str:
    """Return a case's heading, table and differences."""
    lines = columns(rows)
    seeds = max((len(line["target"]) for line in lines.values()), default=0)
    note = "" if seeds >= 3 else f" {seeds} seed(s): **not evidence**."
    out = [f"### {case.name}", "", f"`{case.zip}` on {case.env}, `{', '.join(case.shifts)}`.{note}", ""]
    out += ["| row | target | source | seeds | steps | s |", "|---|---|---|---|---|---|"]
    for name, line in lines.items():
        cells = (text(estimate(line["target"])), text(estimate(line["source"])), str(len(line["target"])))
        out.append(f"| {name} | {' | '.join(cells)} | {line['steps']:,} | {line['seconds']:.0f} |")
    for ours in (KEPT, LAST):
        if gaps := differences(lines, ours):
            out += ["", f"{ours.strip('*')} minus: " + "; ".join(gaps) + "."]
    out += [*_halfway(case, rows), ""]
    return "\n".join(out)


def _halfway(case: Case, rows: Rows) -> list[str]:
    """Say where an off-policy run stands half-way, against the end of the naive one."""
    if not case.zip.startswith("sac") or not rows.get("acclimate") or not rows.get("naive"):
        return []
    half = [np.interp(case.steps / 2, *zip(*cell["curve"], strict=True)) for cell in rows["acclimate"]]
    end = [cell["curve"][-1][1] for cell in rows["naive"]]
    each = ", ".join(f"{value:.0f}" for value in half)
    ends = ", ".join(f"{value:.0f}" for value in end)
    return [
        "",
        f"At half the steps acclimate stands at {each} (a value per seed, 5 episodes); naive ends at {ends}.",
    ]


def write_table() -> None:
    """Write the section of docs/benchmarks.md between its markers."""
    found = read_cells()
    body = "\n".join(case_table(case, found[case.name]) for case in CASES if case.name in found)
    put("foundation", body)
