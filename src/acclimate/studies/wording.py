"""What a study found, in words and columns."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

from acclimate.statistics.estimates import Estimate
from acclimate.statistics.seeds import holm
from acclimate.studies.findings import REFERENCE, Findings, Leader
from acclimate.studies.line import Line
from acclimate.studies.study import UNTRAINED

HEAD = (
    "row",
    "gain [95 %]",
    f"minus {REFERENCE} [95 %]",
    f"P(> {REFERENCE})",
    "best",
    "kept",
    "kept at home [95 %]",
    "target steps",
    "measuring",
    "steps at home",
    "cells missing",
)
MARKED = "°"
"""Beside an interval that cannot be had, of one seed or episode."""


def between(found: Estimate | None, *, percent: bool = False, sign: bool = False) -> str:
    """Return a value with its interval."""
    if found is None:
        return "-"
    plus = "+" if sign else ""
    form = f"{plus}.0%" if percent else f"{plus}.2f"
    value, ends = format(found.value, form), (format(end, form) for end in (found.low, found.high))
    return f"{value} [{', '.join(ends)}]" if math.isfinite(found.low) else f"{value} {MARKED}"


def board_rows(findings: Findings) -> list[tuple[str, ...]]:
    """Return the leaderboard, its head first."""
    rows: list[tuple[str, ...]] = [HEAD]
    for leader in findings.board:
        rows.append(
            (
                leader.row,
                between(leader.gain, sign=True),
                between(leader.against, sign=True),
                between(leader.probability, percent=True),
                "-" if leader.best is None else f"{leader.best:+.2f}",
                "-" if leader.kept is None else f"{leader.kept:+.2f}",
                between(leader.home, percent=True),
                f"{leader.steps:,.0f}",
                f"{leader.measuring:,.0f}",
                f"{leader.at_home:,.0f}",
                str(leader.failed) if leader.failed else "-",
            )
        )
    return rows


CASE_HEAD = (
    "row",
    "return",
    "minus as it is",
    f"minus {REFERENCE}",
    "best",
    "kept",
    "at home",
    "worst dip",
    "below its beginning",
    "mean on the way",
    "half-way back",
)


def case_rows(findings: Findings, case: str) -> list[tuple[str, ...]]:
    """Return the table of a case, its head first; differences in units of the return."""
    scale, rows = findings.scales.get(case), [CASE_HEAD]
    if scale is None:
        lines = findings.lines[case]
        return [*rows, *((name, _seeds(line.means()), *["-"] * (len(CASE_HEAD) - 2)) for name, line in lines.items())]
    for name, line in findings.lines[case].items():
        apart = {other: findings.difference(case, name, other) for other in ("as it is", REFERENCE) if other != name}
        against = [None if each is None else each.scaled(scale.unit).interval() for each in apart.values()]
        home, reached = findings.home(case, name), None if scale.wanted is None else line.reached(scale.wanted)
        rows.append(
            (
                name,
                _seeds(line.means()),
                *(_units(each) for each in (against if len(against) == 2 else _filled(name, against))),
                _seeds(line.means("best")),
                _seeds(line.means("kept")),
                between(None if home is None else home.interval(), percent=True),
                "-" if line.dip is None else figure(line.dip),
                "-" if line.lost_on_the_way is None else figure(line.lost_on_the_way),
                "-" if line.area is None else figure(line.area),
                "-" if reached is None else _reached(line, reached),
            )
        )
    return rows


def _filled(name: str, against: list[Estimate | None]) -> list[Estimate | None]:
    return [None, *against] if name == "as it is" else [*against, None]


def _units(found: Estimate | None) -> str:
    if found is None:
        return "-"
    if not math.isfinite(found.low):
        return f"{figure(found.value)} {MARKED}"
    return f"{figure(found.value)} [{figure(found.low)}, {figure(found.high)}]"


def _seeds(means: list[float]) -> str:
    """Return the mean, and each seed where they are few."""
    if not means:
        return "-"
    mean = figure(sum(means) / len(means))
    return f"{mean} ({', '.join(map(figure, means))})" if 1 < len(means) <= 5 else mean


def _reached(line: Line, found: Mapping[str, Any]) -> str:
    at, share = found["median_steps"], f"{found['reached']} of {found['runs']}"
    if at is None:
        return share
    seconds = line.seconds_to(at)
    return f"{share}, at {at:,.0f} steps" + ("" if seconds is None else f", {figure(seconds)} s")


def figure(value: float) -> str:
    """Return a return, as long as it tells something."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def coverage(seeds: int) -> str:
    """Say how often intervals like these hold, by simulation."""
    told = json.loads(resources.files("acclimate.studies").joinpath("coverage.json").read_text(encoding="utf-8"))
    known = sorted(int(n) for n in told["held"]["difference"]["normal"])
    near = max((n for n in known if n <= seeds), default=known[0])
    order = sorted(told["held"]["study"], key=lambda kind: told["held"]["study"][kind][str(near)])

    def said(name: str) -> str:
        held = told["held"][name]
        return ", ".join(f"{100 * held[kind][str(near)]:.0f} % ({kind})" for kind in order)

    if seeds < 2:
        return "One seed: rows that train have no interval; those of the others are over episodes alone."
    return (
        f"Intervals say 95 %. With {near} seeds that share their episodes, {told['draws']:,} simulated studies had the "
        f"truth inside: of a row's difference {said('difference')}; of a mean over cases {said('study')}; of a "
        f"probability {said('improvement')}. What a gain of 1 is counts as known (`python -m benchmarks.coverage`). "
        f"{MARKED} marks a value without an interval: of one seed, or of seeds that all agree."
    )


def as_json(findings: Findings) -> dict[str, Any]:
    """Return the findings as JSON-able data."""
    board = {leader.row: {name: _plain(value) for name, value in vars(leader).items()} for leader in findings.board}
    cases = {
        name: {
            row: {column: line.means(column) for column in ("last", "best", "kept") if line.means(column)}
            for row, line in rows.items()
        }
        for name, rows in findings.lines.items()
    }
    missing = {str(key): why for key, why in findings.missing.items()}
    return {"advice": advice(findings), "board": board, "cases": cases, "missing": missing}


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return {name: number if math.isfinite(number) else None for name, number in value._asdict().items()}
    return list(value) if isinstance(value, tuple) else value


def csv_rows(findings: Findings) -> list[tuple[Any, ...]]:
    """Return a line for each cell, its head first."""
    head = (
        "case",
        "row",
        "seed",
        "last",
        "best",
        "kept",
        "last_home",
        "training_steps",
        "probing_steps",
        "method_steps",
        "method_steps_home",
        "measuring_steps",
        "measuring_steps_home",
        "seconds",
        "seconds_learning",
    )
    rows: list[tuple[Any, ...]] = [head]
    for key in sorted(findings.cells, key=lambda key: (key.case, key.row, key.seed)):
        cell = findings.cells[key]
        means = [
            None if each is None else sum(each.target) / len(each.target) for each in (cell.last, cell.best, cell.kept)
        ]
        home = None if cell.last.source is None else sum(cell.last.source) / len(cell.last.source)
        steps = cell.steps
        counts = (
            steps.training,
            steps.probing,
            steps.methods,
            steps.methods_source,
            steps.measuring,
            steps.measuring_source,
        )
        rows.append(
            (key.case, key.row, key.seed, *means, home, *counts, round(cell.seconds, 1), round(cell.learning, 1))
        )
    return rows


def is_trained(row: str) -> bool:
    """Tell whether a row trains."""
    return row not in UNTRAINED


def advice(findings: Findings) -> str:
    """Return one sentence on which row to take, with the probability behind it.

    That the best of many rows is ahead of the competent user is tested with Holm's correction over all of them.
    """
    rows = findings.contenders
    if not rows:
        return "No row that trains has ended in every case yet."
    first = rows[0]
    if first.gain.value <= 0:
        return "No row returns more than the agent as it is: leave it as it is."
    gained = gain_words(findings, first.gain.value)
    if not math.isfinite(first.gain.low):
        return f"`{first.row}` leads: {gained}. With so few seeds nothing is sure."
    if first.gain.low <= 0:
        return f"`{first.row}` leads: {gained}, but that could be chance. It is not sure that any row helps."
    if first.row == REFERENCE:
        return f"Take `{first.row}`: {gained}, and no row returned more."
    if first.probability is None:
        return f"Take `{first.row}`: {gained}; there is no competent user beside it."
    odds = f"a run of it returns more than the competent user's with a probability of {first.probability.value:.0%}"
    others = [row for row in rows if row.row != REFERENCE]
    sure = dict(zip((row.row for row in others), holm([row.sure for row in others]), strict=True))
    if not sure[first.row]:
        return f"`{first.row}` leads, but cannot be told from the competent user: {gained}, and {odds}."
    return f"Take `{first.row}`: {gained}, and {odds}."


def gain_words(findings: Findings, gain: float) -> str:
    """Say what a gain means: a share of what the change took, where that is what all cases are measured by."""
    kinds = {scale.kind for scale in findings.scales.values()}
    return f"it makes good {gain:.0%} of what the change took" if kinds == {"home"} else f"its gain is {gain:+.2f}"


KINDS = {
    "home": "A gain of 1 is the way back to what the agent returned at home, {unit} here.",
    "floor": "The change took little: a gain of 1 is {unit} here, a tenth of the agent's lead over chance at home.",
    "best row": "The world pays otherwise, or has no home: a gain of 1 is {unit} here, the best row's or a tenth of "
    "the agent's lead over chance.",
}


def scale_words(findings: Findings, case: str) -> str:
    """Say what a gain is in a case, or why it has none."""
    if case in findings.unscaled:
        return f"Left out of the leaderboard: {findings.unscaled[case]}."
    scale = findings.scales[case]
    return KINDS[scale.kind].format(unit=figure(scale.unit))


def wider(leader: Leader) -> str:
    """Return a row's difference to the competent user, and its odds, had other cases been taken."""
    odds = leader.wider_probability
    told = "" if odds is None else f", P(> {REFERENCE}) {between(odds, percent=True)}"
    return between(leader.wider, sign=True) + told


def leaders(findings: Findings) -> str:
    """Return the leaderboard in a few lines, for while it runs."""
    lines = [f"  {leader.row:<24} gain {leader.gain.value:+.2f}" for leader in findings.board[:8]]
    return "\n".join(["so far:", *lines]) if lines else "so far: nothing to compare"


def text(findings: Findings) -> str:
    """Return the leaderboard and the advice, for a terminal."""
    rows = board_rows(findings)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    left = [f"{case}: {scale_words(findings, case)}" for case in findings.unscaled]
    return "\n".join([*lines, "", *left, advice(findings)])
