"""The engine's section of docs/benchmarks.md and its chart, from the measured rounds."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from acclimate.reports.chart import LIGHT
from benchmarks.conditions import Conditions
from benchmarks.engine.cases import CASES, Case
from benchmarks.page import put

ROOT = Path(__file__).resolve().parents[2]
CELLS = ROOT / "benchmarks" / "results" / "engine"
CHART = ROOT / "docs" / "engine.png"

PEERS = {"sb3": "SB3", "cleanrl": "CleanRL-style", "sbx": "SBX"}
OURS = "acclimate"
COLOURS = {"sb3": "#6b7685", "cleanrl": "#a0abb9", "sbx": "#d98a29", OURS: LIGHT.tuned}


Cells = dict[str, dict[str, Any]]
"""What was measured in the same conditions, by case."""


def path_of(case: str, conditions: Conditions) -> Path:
    """Return where a case's figures lie."""
    name = "-".join("".join(c if c.isalnum() else " " for c in case).lower().split())
    return CELLS / f"{name}-{conditions.name}.json"


def read() -> dict[Conditions, Cells]:
    """Return what was measured of the cases that there still are, by conditions."""
    known, found = {case.name for case in CASES}, defaultdict(dict)
    for path in CELLS.glob("*.json"):
        cell = json.loads(path.read_text(encoding="utf-8"))
        if cell["case"] in known:
            found[Conditions.of(cell)][cell["case"]] = cell
    return {each: found[each] for each in sorted(found, key=lambda conditions: conditions.rank)}


@dataclass(frozen=True)
class Ratio:
    """How many times as fast one side is as another, over rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: dict[str, list[float]], other: str, one: str = OURS) -> Ratio:
        """Return the ratio of each round's seconds."""
        each = np.array(seconds[other]) / np.array(seconds[one])
        return cls(float(np.median(each)), float(each.min()), float(each.max()))

    def __str__(self) -> str:
        """Return `median [lowest, highest]`."""
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"


def rate(cell: dict[str, Any], side: str) -> float:
    """Return the median steps a second."""
    return cell["steps"] / float(np.median(cell["wall"][side]))


def among_peers(case: Case) -> bool:
    """Whether others than ours are compared."""
    return any(name in PEERS for name in case.sides)


def peers_table(cells: Cells) -> list[str]:
    """Return the steps a second of all sides, and how ours stands to each."""
    heads = [*(f"{name}, steps/s" for name in PEERS.values()), "acclimate, steps/s"]
    over = [f"over {name}" for name in PEERS.values()]
    lines = [f"| case | {' | '.join([*heads, *over, 'over SB3 by CPU time', 'rounds'])} |"]
    lines.append(f"|---|{'--:|' * (len(heads) + len(over) + 2)}")
    for case in CASES:
        if not among_peers(case) or case.name not in cells:
            continue
        cell = cells[case.name]
        wall = cell["wall"]
        rates = [f"{rate(cell, name):,.0f}" if name in wall else "-" for name in (*PEERS, OURS)]
        ratios = [str(Ratio.of(wall, name)) if name in wall else "-" for name in PEERS]
        by_cpu = str(Ratio.of(cell["cpu"], "sb3")) if "sb3" in wall else "-"
        lines.append(f"| {case.name} | {' | '.join([*rates, *ratios, by_cpu, str(len(wall[OURS]))])} |")
    return lines


def own_table(cells: Cells) -> list[str]:
    """Return the cases in which both sides are ours."""
    lines = []
    for case in CASES:
        if among_peers(case) or case.name not in cells:
            continue
        cell = cells[case.name]
        (other,) = (name for name in cell["wall"] if name != OURS)
        rates = f"{rate(cell, other):,.0f} | {rate(cell, OURS):,.0f}"
        lines.append(f"| {case.name} | {rates} | {Ratio.of(cell['wall'], other)} | {len(cell['wall'][OURS])} |")
    head = ["", "| both on the engine | without, steps/s | with, steps/s | ratio | rounds |", "|---|--:|--:|--:|--:|"]
    return [*head, *lines] if lines else []


def tables(conditions: Conditions, cells: Cells) -> list[str]:
    """Return the tables of all that was measured in the same conditions, and which these were."""
    cores = " or ".join(map(str, sorted({cell["cores"] for cell in cells.values()})))
    return [conditions.said(cores), "", *peers_table(cells), *own_table(cells), ""]


def reasons(found: dict[Conditions, Cells]) -> list[str]:
    """Say why a cell is empty."""
    measured = {name for cells in found.values() for name in cells}
    whys = {f"{case.name}: {why}" for case in CASES if case.name in measured for why in case.missing.values()}
    return ["Empty cells: " + "; ".join(sorted(whys)) + ".", ""] if whys else []


def chart(cells: Cells) -> None:
    """Draw how many times as fast as SB3 each side is, one group of bars for each case."""
    names = [case.name for case in CASES if case.charted and "sb3" in cells.get(case.name, {}).get("wall", {})]
    figure = Figure(dpi=160, layout="constrained", facecolor=LIGHT.background)
    figure.set_size_inches(8.4, 0.9 + 0.78 * len(names))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    sides = [*PEERS, OURS]
    for place, name in enumerate(names):
        there = [side for side in sides if side in cells[name]["wall"]]
        for bar, side in enumerate(there):
            _bar(axes, place + (bar - (len(there) - 1) / 2) * 0.2, side, cells[name])
    axes.set_yticks(range(len(names)), [name.replace(", ", "\n", 1) for name in names])
    axes.invert_yaxis()
    _dress(axes)
    longest = max(Ratio.of(cells[name]["wall"], "sb3", side).high for name in names for side in cells[name]["wall"])
    axes.set_xlim(0, 1.08 * longest)
    marks = [axes.barh([0], [0], color=COLOURS[side]) for side in sides]
    labels = [*PEERS.values(), OURS]
    figure.legend(marks, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=9, labelcolor=LIGHT.ink)
    figure.savefig(CHART, facecolor=LIGHT.background)


def _bar(axes: Axes, at: float, side: str, cell: dict[str, Any]) -> None:
    found = Ratio.of(cell["wall"], "sb3", side)
    axes.barh([at], [found.median], height=0.18, color=COLOURS[side])
    if side != "sb3":
        axes.plot([found.low, found.high], [at, at], color=LIGHT.ink, linewidth=0.8)
    weight = "bold" if side == OURS else "normal"
    label = f"{found.median:.1f}" if side != "sb3" else f"1  ({rate(cell, side):,.0f} steps/s)"
    axes.annotate(
        label,
        (found.high, at),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        color=LIGHT.ink,
        weight=weight,
    )


def _dress(axes: Axes) -> None:
    axes.set_facecolor(LIGHT.background)
    axes.set_xlabel(
        "environment steps a second, end to end, over those of Stable-Baselines3", color=LIGHT.ink, fontsize=9
    )
    axes.axvline(1, color=LIGHT.ink, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.grid(axis="x", color=LIGHT.faint, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=LIGHT.ink, labelsize=8.5, length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def write() -> None:
    """Write the section between its markers, and the chart."""
    found = read()
    lines = [line for conditions, cells in found.items() for line in tables(conditions, cells)]
    put("engine", "\n".join([*lines, *reasons(found)]).rstrip())
    for cells in found.values():
        if any("sb3" in cell["wall"] for cell in cells.values()):
            chart(cells)
            break
