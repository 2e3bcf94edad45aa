"""How often episodes ended in success, in plain words; nothing where the environment does not tell."""

from __future__ import annotations

from typing import NamedTuple

from acclimate.evaluation.evaluate import Evaluation
from acclimate.reports.findings import Findings
from acclimate.statistics.estimates import Estimate

NOTE = "Success is what the environment tells by `is_success` at the end of an episode; the intervals are Wilson's."


class SuccessRow(NamedTuple):
    """One line of the table of successes, as text."""

    task: str
    agent: str
    share: str
    interval: str
    episodes: str


def percent(share: float, *, sign: bool = False) -> str:
    """Write a share in percent, or a difference of shares in points."""
    value = round(100 * share, 1) + 0.0  # no minus before a zero
    return f"{value:{'+' if sign and value else ''}.1f}"


def success_sentence(findings: Findings) -> str | None:
    """Return how often the kept agent succeeds on the target task, None where nothing tells."""
    before, after, gap = findings.target.before.success, findings.target.after.success, findings.success_difference
    if after is None:
        return None
    episodes = f"{percent(after.value)} % of the episodes on the target task"
    if findings.kept == "pretrained":
        return f"It succeeds in {episodes}."
    text = f"The tuned agent succeeds in {episodes}"
    if before is None or gap is None:
        return f"{text}."
    value, low, high = (percent(each, sign=True) for each in gap[:3])
    return (
        f"{text} where the pretrained one succeeded in {percent(before.value)} %: {value} points "
        f"(95 % interval {low} to {high}, {gap.n} paired episodes)."
    )


def success_rows(findings: Findings) -> list[SuccessRow]:
    """Return the table of successes, target first; empty where nothing tells."""
    table = []
    for task, measured in (("target", findings.target), ("source", findings.source)):
        ends = () if measured is None else (measured.before, measured.after, measured.last)
        for agent, played in zip(("before", "after", "end of training"), ends, strict=False):
            found = _success(played)
            if found is not None:
                ends_at = f"{percent(found.low)} to {percent(found.high)} %"
                table.append(SuccessRow(task, agent, f"{percent(found.value)} %", ends_at, str(found.n)))
    return table


def _success(played: Evaluation | None) -> Estimate | None:
    return None if played is None else played.success
