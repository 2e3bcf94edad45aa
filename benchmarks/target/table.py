"""The section of docs/benchmarks.md on the time until the wanted return, from the cells."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from benchmarks.page import put
from benchmarks.target.cells import BUDGETS, CELLS
from benchmarks.target.reaching import ROWS

Cells = dict[str, list[dict[str, Any]]]


def read() -> dict[str, Cells]:
    """Return the cells by case and row, in the order of seeds."""
    found: dict[str, Cells] = defaultdict(lambda: defaultdict(list))
    cells = [json.loads(path.read_text(encoding="utf-8")) for path in CELLS.glob("*.json")]
    for cell in sorted(cells, key=lambda cell: cell["seed"]):
        found[cell["case"]][cell["row"]].append(cell)
    return found


def figure(cells: list[dict[str, Any]], what: str) -> str:
    """Return the median, and each seed's value; `> x` where the budget ended at x before the return was reached.

    A value that is not reached counts as larger than all that are.
    """
    each = sorted((not cell["reached"], cell["curve"][-1][what]) for cell in cells)
    said = [said_of(cell["reached"], cell["curve"][-1][what]) for cell in cells]
    late, value = each[len(each) // 2]
    return f"{said_of(not late, value)} ({', '.join(said)})"


def said_of(reached: bool, value: float) -> str:
    """Return a value, or that it is more."""
    return f"{'' if reached else '> '}{value:,.0f}"


def section(case: str, rows: Cells) -> list[str]:
    """Return the table of a case."""
    first = next(iter(rows.values()))[0]
    lines = [f"### {case}: {first['wanted']:,.0f}", "", f"At most {BUDGETS[case]:,} steps.", ""]
    heads = ("training, s", "CPU, s", "with measuring, s")
    lines += [f"| row | reached | steps | {' | '.join(heads)} |", f"|---|--:|{'--:|' * (len(heads) + 1)}"]
    for row in (row for row in ROWS if row in rows):
        cells = rows[row]
        figures = " | ".join(figure(cells, what) for what in ("steps", "seconds", "cpu", "total"))
        lines.append(f"| {row} | {sum(cell['reached'] for cell in cells)} of {len(cells)} | {figures} |")
    return [*lines, ""]


def write_table() -> None:
    """Write the section."""
    found = read()
    put("target", "\n".join(line for case in BUDGETS if case in found for line in section(case, found[case])).rstrip())
