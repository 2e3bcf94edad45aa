"""A measured guard as a table and as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from acclimate.guard.trials.measuring import Measurement
from acclimate.statistics.estimates import mean

HEADS = ("fault", "AUROC", "TPR at 1 %", "detected", "delay", "first", "return", "guarded")


def told(found: Measurement, alarms: float) -> str:
    """Return the lines that a person reads."""
    share = found.false_alarms
    gave = ", ".join(f"{name} {number}" for name, number in found.by_tier.items() if number) or "none"
    lines = [
        f"false alarms in {100 * share.value:.1f} % of {share.n} clean episodes [{100 * share.low:.1f}, "
        f"{100 * share.high:.1f}] (Clopper-Pearson), {100 * alarms:g} % were allowed; by tier: {gave}",
        f"clean return {mean(found.clean):.1f}, guarded {mean(found.guarded):.1f}",
    ]
    if not found.trials:
        return "\n".join([*lines, "no fault of a sensor was shown"])
    lines.append("")
    rows = [HEADS, *map(_row, found.trials)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    return "\n".join(lines + ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows])


def _row(trial: Any) -> tuple[str, ...]:
    seen = trial.detection
    return (
        trial.fault,
        f"{seen.auroc:.3f}",
        f"{100 * seen.rate:.0f} %",
        f"{100 * seen.detected:.0f} %",
        "-" if seen.delay is None else f"{seen.delay:.0f}",
        trial.first,
        "-" if trial.returns is None else f"{_mean(trial.returns):.1f}",
        f"{_mean(trial.guarded):.1f}",
    )


def _mean(values: Sequence[float]) -> float:
    return float(mean(values))


def as_json(found: Measurement) -> dict[str, Any]:
    """Return all of it as data."""
    return {**dataclasses.asdict(found), "false_alarms": found.false_alarms._asdict()}
