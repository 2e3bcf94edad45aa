"""Tables that are made of committed cells for people who read on: the README's first one, and methods by family."""

from __future__ import annotations

from collections.abc import Iterator

from acclimate.catalogue import families
from acclimate.studies.findings import Findings
from acclimate.studies.wording import between, figure

TITLES = {
    "as it is": "as it is",
    "naive": "SB3 continued",
    "competent": "competent user of SB3",
    "scratch": "from scratch",
    "acclimate": "acclimate",
    "bc": "acclimate, `--method bc`",
}
"""Rows of the README's table, by what they are called there."""


def headline(findings: Findings) -> str:
    """Return return and share kept at home of each case, of what is done without us and of ours."""
    lines = [f"| | {' | '.join(TITLES.values())} |", f"|---|{'---|' * len(TITLES)}"]
    for case, rows in findings.lines.items():
        cells = [_cell(findings, case, row) if row in rows else "-" for row in TITLES]
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return "\n".join(lines)


def by_family(findings: Findings) -> str:
    """Return each method's gain and share kept at home over all cases, and in each of them, by family."""
    cases, board = list(findings.lines), {leader.row: leader for leader in findings.board}
    lines = [
        f"| family | row | gain [95 %] | kept at home [95 %] | {' | '.join(cases)} |",
        f"|---|---|--:|--:|{'--:|' * len(cases)}",
    ]
    for family, row in _ordered(findings):
        leader = board[row]
        each = (_cell(findings, case, row) if row in findings.lines[case] else "-" for case in cases)
        gain, home = between(leader.gain, sign=True), between(leader.home, percent=True)
        lines.append(f"| {family} | `{row}` | {gain} | {home} | {' | '.join(each)} |")
    return "\n".join(lines)


def _ordered(findings: Findings) -> Iterator[tuple[str, str]]:
    """Yield family and name of each row that has cells: what is no method first, then methods in the list's order."""
    known = {name for names in families().values() for name in names}
    there = {leader.row for leader in findings.board}
    yield from (("", row) for row in findings.study.names if row in there and row not in known)
    yield from ((family, name) for family, names in families().items() for name in names if name in there)


def _cell(findings: Findings, case: str, row: str) -> str:
    """Return `return (seed by seed), share kept at home`."""
    means, home = findings.lines[case][row].means(), findings.home(case, row)
    each = f" ({', '.join(map(figure, means))})" if 1 < len(means) <= 3 else ""
    kept = "" if home is None or row == "as it is" else f"; home {home.mean:.0%}"
    return f"{figure(sum(means) / len(means))}{each}{kept}"
