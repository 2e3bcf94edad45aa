"""Turn the cells of the methods' comparison into tables of docs/benchmarks.md."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.catalogue import families
from benchmarks.foundation.table import estimate, text
from benchmarks.methods.cells import GROUNDS

Cells = dict[str, list[dict[str, Any]]]
HEADS = (
    "method",
    "target",
    "minus full",
    "source",
    "lost there",
    "weights moved",
    "KL",
    "KL, source",
    "active",
    "trained",
    "s",
)


def read(folder: Path) -> dict[str, Cells]:
    """Return the cells by ground and method."""
    found: dict[str, Cells] = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.glob("*.json")):
        cell = json.loads(path.read_text(encoding="utf-8"))
        found[cell["ground"]][cell["method"]].append(cell)
    return found


def body(folder: Path) -> str:
    """Return a table for each agent, methods by family, and below it those that did not run."""
    found = read(folder)
    return "\n\n".join(_ground(name, found[name]) for name in GROUNDS if found[name])


def _ground(name: str, cells: Cells) -> str:
    ground, full = GROUNDS[name], _ran(cells.get("full", []))
    ran = {method: done for method, each in cells.items() if (done := _ran(each))}
    one = next(iter(ran.values()), [])
    if not one:
        return f"### {ground.title}\n\nNothing ran."
    seeds, steps = len(one), one[0]["steps"]
    note = "" if seeds >= 3 else " Fewer than 3 seeds: **not evidence**."
    before = text(estimate([cell["before"] for cell in one])), text(estimate([cell["source_before"] for cell in one]))
    lines = [
        f"### {ground.title}",
        "",
        f"{steps:,} steps; agents, each with a seed of its own: {seeds}. "
        f"Untouched: target {before[0]}, source {before[1]}.{note}",
        "",
        f"| {' | '.join(HEADS)} |",
        f"|---|{'--:|' * (len(HEADS) - 1)}",
    ]
    order = [method for names in families().values() for method in names if method in ran]
    lines += [_line(method, ran[method], full) for method in order]
    for method, each in cells.items():
        if method not in ran:
            lines += ["", f"`{method}` did not run: {each[0].get('error', 'its training diverged')}"]
    return "\n".join(lines)


def _ran(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [cell for cell in cells if "error" not in cell and cell["target"]]


def _line(method: str, cells: list[dict[str, Any]], full: list[dict[str, Any]]) -> str:
    by_seed = {cell["seed"]: cell["target"] for cell in full}
    gaps = [
        (np.asarray(cell["target"]) - np.asarray(by_seed[cell["seed"]])).tolist()
        for cell in cells
        if cell["seed"] in by_seed
    ]
    lost = [(np.asarray(cell["source_before"]) - np.asarray(cell["source"])).tolist() for cell in cells]
    return (
        "| "
        + " | ".join(
            (
                f"`{method}`",
                text(estimate([cell["target"] for cell in cells])),
                "-" if method == "full" or not gaps else text(estimate(gaps), sign=True),
                f"{np.mean([cell['source'] for cell in cells]):.0f}",
                text(estimate(lost), sign=True),
                _mean(cells, "distance", "{:.1%}"),
                _mean(cells, "kl", "{:.2g}"),
                _mean(cells, "kl_source", "{:.2g}"),
                _mean(cells, "active", "{:.0%}"),
                _mean(cells, "trainable", "{:.1%}"),
                f"{np.median([cell['seconds'] for cell in cells]):.0f}",
            )
        )
        + " |"
    )


def _mean(cells: list[dict[str, Any]], name: str, form: str) -> str:
    known = [cell[name] for cell in cells if cell[name] is not None]
    return form.format(np.mean(known)) if known else "-"
