"""The section of docs/benchmarks.md on guards, from the results."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from benchmarks.guard.cases import ALARMS, CASES, CLEAN, FAULTY, FIT
from benchmarks.page import put

KINDS = {"dropped": "the policy with units left out", "ensemble": "an ensemble that imitates the policy"}
DETECTORS = ("default", "all", "ECOD", "KNN")


def share(found: dict[str, Any]) -> str:
    """Return a share of false alarms with its interval."""
    return f"{100 * found['value']:.1f} % [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def figures(found: dict[str, Any] | None) -> str:
    """Return AUROC, the rate at 1 %, how many episodes were seen and after how many steps."""
    if found is None:
        return "-"
    delay = "-" if found["delay"] is None else f"{found['delay']:.0f}"
    return f"{found['auroc']:.2f}, {100 * found['rate']:.0f} %, {100 * found['detected']:.0f} %, {delay}"


def mean(values: list[float] | None) -> str:
    """Return a mean return."""
    return "-" if values is None else f"{np.mean(values):,.0f}"


def fate(found: dict[str, int]) -> str:
    """Return what became of hostile observations."""
    return (
        f"of {found['observations']:,} {found['refused']:,} were refused, {found['reached_broken']} reached the policy "
        f"with a number that is not finite, {found['outside']} led to an action out of its bounds"
    )


def section(result: dict[str, Any]) -> list[str]:
    """Return the part of one case."""
    alarms, hostile = result["false_alarms"], result["hostile"]
    said = ", ".join(f"{name} {share(alarms[name])}" for name in DETECTORS)
    kept = result["guarded_return"]
    lines = [
        f"### Guard of {result['case']}",
        "",
        f"Clean episodes with a false alarm: {said}. Clean return {mean(result['clean_return'])}, guarded "
        f"{mean(kept['default'])} (default) and {mean(kept['all'])} (all). `uncertainty` is "
        f"{KINDS[result['uncertainty']]}. Hostile observations: {fate(hostile['torch'])} with torch; "
        f"{fate(hostile['onnx'])} in the exported file, whose flags differ in {hostile['onnx']['other_flags']:,}. "
        f"{result['cpu_seconds']:.0f} s of CPU.",
        "",
        f"| fault | {' | '.join(DETECTORS)} | return | guarded, default | guarded, all |",
        f"|---|{'---|' * len(DETECTORS)}--:|--:|--:|",
    ]
    for fault, found in result["faults"].items():
        cells = [figures(found["detectors"].get(name)) for name in DETECTORS]
        returns = [mean(found["return"]), *(mean(found["guarded"][name]) for name in ("default", "all"))]
        lines.append(f"| {fault} | {' | '.join(cells)} | {' | '.join(returns)} |")
    return [*lines, ""]


def write_table() -> None:
    """Write the section."""
    found = [json.loads(case.path.read_text(encoding="utf-8")) for case in CASES if case.path.exists()]
    head = [
        f"Each guard was fitted to {FIT} clean episodes, and measured on {CLEAN} clean ones and {FAULTY} with each "
        f"fault, none of which it had seen; {100 * ALARMS:g} % of clean episodes were allowed a false alarm. Cells: "
        "AUROC over steps, share of faulty steps above what 1 % of the clean ones exceed, share of episodes in which "
        "the limit was passed, median delay in steps.",
        "",
    ]
    put("guard", "\n".join([*head, *(line for result in found for line in section(result))]).rstrip())
