"""The section of docs/benchmarks.md on robustness, from the results."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from acclimate.statistics.seeds import crossed
from benchmarks.page import put
from benchmarks.robustness.cases import ARMS, CASES, EPISODES, SEEDS, STEPS, Case, Cell

ROWS = {
    "before": "before",
    "plain": "fine-tuned, default",
    "smooth": "fine-tuned, `smooth`",
    "noise": "fine-tuned, `sensor_noise`",
}


def known(cell: Cell) -> dict[str, Any] | None:
    """Return a result, if it is there."""
    return json.loads(cell.path.read_text(encoding="utf-8")) if cell.path.exists() else None


def returns(case: Case, arm: str) -> dict[str, list[list[float]]]:
    """Return the returns of each play of an arm: for each seed that is there, those of its episodes."""
    cells = [Cell(case, arm, seed) for seed in (SEEDS if arm in ARMS else (0,))]
    found = [result["returns"] for cell in cells if (result := known(cell)) is not None]
    return {name: [each[name] for each in found] for name in found[0]} if found else {}


def mean(values: list[list[float]]) -> str:
    """Return a mean over seeds and episodes."""
    return f"{np.mean(values):,.0f}"


def worst(plays: dict[str, list[list[float]]]) -> str:
    """Return the strongest attack's mean with its interval over seeds and episodes."""
    name = min((name for name in plays if name != "clean"), key=lambda name: np.mean(plays[name]))
    found = crossed(plays[name]).interval()
    return f"{found.value:,.0f} [{found.low:,.0f}, {found.high:,.0f}] ({name})"


def section(case: Case) -> list[str]:
    """Return the part of one case."""
    lines = [
        f"### Attacks on {case.name}, radius {case.radius:g}",
        "",
        f"| agent | seeds | clean | {' | '.join(case.attacks)} | strongest |",
        f"|---|--:|--:|{'--:|' * len(case.attacks)}---|",
    ]
    for arm, said in ROWS.items():
        if plays := returns(case, arm):
            cells = [mean(plays[name]) for name in ("clean", *case.attacks)]
            lines.append(f"| {said} | {len(plays['clean'])} | {' | '.join(cells)} | {worst(plays)} |")
    guard, alone = returns(case, "guard"), returns(case, "before")
    if guard and alone:
        lines += [
            "",
            f"The agent before, under `pgd`: {mean(alone['pgd'])} alone, {mean(guard['pgd'])} behind its guard where "
            f"the attack knows nothing of it, {mean(guard['evading'])} where it keeps below the guard's limits. Clean "
            f"behind the guard: {mean(guard['clean'])}.",
        ]
    return [*lines, ""]


def write_table() -> None:
    """Write the section."""
    head = [
        f"Mean returns of {EPISODES} episodes, the same for all; fine-tuned is at home, for {STEPS:,} steps. The "
        "strongest attack is the one with the least mean, with Student's 95 % interval over seeds of training (of one: "
        "over episodes).",
        "",
    ]
    put("robustness", "\n".join([*head, *(line for case in CASES for line in section(case))]).rstrip())
