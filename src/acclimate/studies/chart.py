"""The pictures of a study: learning curves, target against home, cost against return."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from acclimate.reports.chart import Theme
from acclimate.studies.findings import Findings
from acclimate.studies.line import Line
from acclimate.studies.study import UNTRAINED

HUES = ("#0b6bcb", "#c8553d", "#2f9e44", "#9c36b5", "#e67700", "#0c8599", "#d6336c", "#5c7c10", "#495cc4", "#8d6b3f")
DASHES = ("-", "--", "-.", ":")
MOST = 9
"""Cases whose curves are drawn."""


def style(index: int) -> dict[str, str]:
    """Return what tells a row from the others, in all pictures."""
    return {"color": HUES[index % len(HUES)], "linestyle": DASHES[index // len(HUES) % len(DASHES)]}


def curves(findings: Findings, theme: Theme, *, narrow: bool) -> bytes:
    """Draw the learning curves of each case, with the range of its seeds."""
    cases = list(findings.lines)[:MOST]
    columns = 1 if narrow else min(2, len(cases))
    rows = -(-len(cases) // columns)
    figure = _figure(theme, (4.4 if narrow else 5.2 * columns, 3.3 * rows + 0.9))
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    named: dict[str, object] = {}
    for place, case in zip(axes, cases, strict=False):
        _curves(place, findings, case, theme, named)
    for place in axes[len(cases) :]:
        place.set_visible(False)
    _legend(figure, named, theme, narrow=narrow)
    return _png(figure, theme)


def _curves(axes: Axes, findings: Findings, case: str, theme: Theme, named: dict[str, object]) -> None:
    trained = [row for row in findings.study.names if row not in UNTRAINED]
    for index, row in enumerate(trained):
        line = findings.lines[case].get(row)
        if line is None or not line.cells[0].curve:
            continue
        steps, low, middle, high = _band(line)
        axes.fill_between(steps, low, high, color=style(index)["color"], alpha=0.13, linewidth=0)
        (named[row],) = axes.plot(steps, middle, linewidth=1.6, **style(index))
    if case in findings.scales:
        level = float(findings.scales[case].untouched.mean())
        named["as it is"] = axes.axhline(level, color=theme.pretrained, linestyle=(0, (5, 3)), linewidth=1.2)
    _dress(axes, theme, case, "target steps", "return")


def _band(line: Line) -> tuple[Sequence[float], Sequence[float], Sequence[float], Sequence[float]]:
    """Return steps, and the least, mean and greatest of the seeds there, which are measured at nearly the same."""
    length = min(len(cell.curve) for cell in line.cells)
    steps = np.mean([[at for at, _ in cell.curve[:length]] for cell in line.cells], axis=0)
    values = np.array([[value for _, value in cell.curve[:length]] for cell in line.cells])
    return steps.tolist(), values.min(0).tolist(), values.mean(0).tolist(), values.max(0).tolist()


def trade(findings: Findings, theme: Theme, *, narrow: bool) -> bytes:
    """Draw each row's gain against what it kept at home, with the front, and against what it cost."""
    figure = _figure(theme, (4.4, 7.6) if narrow else (10.4, 3.9))
    at_home, cost = figure.subplots(*((2, 1) if narrow else (1, 2)))
    board = [leader for leader in findings.board if leader.row not in ("nothing", "random")]
    trained = [row for row in findings.study.names if row not in UNTRAINED]
    points = [(leader.home.value, leader.gain.value) for leader in board if leader.home is not None]
    front = sorted(point for point in points if not any(_beats(other, point) for other in points))
    at_home.plot(*zip(*front, strict=True), color=theme.faint, linewidth=5, zorder=0) if len(front) > 1 else None
    named: dict[str, object] = {}
    for leader in board:
        colour = style(trained.index(leader.row))["color"] if leader.row in trained else theme.pretrained
        if leader.home is not None:
            _cross(at_home, leader.home.value, leader.gain, colour)
        taken = max(leader.steps + leader.measuring + leader.at_home, 1.0)
        named[leader.row] = _cross(cost, taken, leader.gain, colour)
    _dress(at_home, theme, "Gain against what is kept at home", "share kept at home", "normalised gain")
    _dress(cost, theme, "Gain against all steps that it took", "steps in both worlds, measuring included", "")
    cost.set_xscale("log")
    for axis in (cost.xaxis.set_major_formatter, cost.xaxis.set_minor_formatter):
        axis(FuncFormatter(lambda value, _: _short(value)))
    _legend(figure, named, theme, narrow=narrow)
    return _png(figure, theme)


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] >= other[1]


def _short(value: float) -> str:
    """Write a number of steps where its first digit is 1, 2 or 5."""
    digits = f"{value:.0f}".rstrip("0")
    return f"{value / 1000:,.4g}k" if value >= 1000 and digits in ("1", "2", "5") else ""


def _cross(axes: Axes, at: float, gain: object, colour: str) -> object:
    value, low, high = gain.value, gain.low, gain.high  # type: ignore[attr-defined]
    if np.isfinite(low):
        axes.plot([at, at], [low, high], color=colour, linewidth=1.4, alpha=0.6)
    return axes.plot([at], [value], color=colour, marker="o", markersize=6, linestyle="none")[0]


def _figure(theme: Theme, size: tuple[float, float]) -> Figure:
    figure = Figure(dpi=150, layout="constrained", facecolor=theme.background)
    figure.set_size_inches(size)
    FigureCanvasAgg(figure)
    return figure


def _legend(figure: Figure, named: dict[str, object], theme: Theme, *, narrow: bool) -> None:
    if named:
        columns = 2 if narrow else 5
        figure.legend(
            named.values(),
            named.keys(),
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            fontsize=8.5,
            labelcolor=theme.ink,
        )


def _dress(axes: Axes, theme: Theme, title: str, below: str, beside: str) -> None:
    axes.set_facecolor(theme.background)
    axes.set_title(title, loc="left", fontsize=9.5, color=theme.ink)
    axes.set_xlabel(below, fontsize=8.5, color=theme.ink)
    axes.set_ylabel(beside, fontsize=8.5, color=theme.ink)
    axes.tick_params(which="both", colors=theme.ink, labelsize=8, length=0)
    axes.grid(color=theme.faint, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def _png(figure: Figure, theme: Theme) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", facecolor=theme.background)
    figure.clear()
    return content.getvalue()
