"""The picture of a run: the learning curve beside what was measured before and after."""

from __future__ import annotations

import io
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from acclimate.reports.findings import Findings, Measured


@dataclass(frozen=True)
class Theme:
    """Colours of a chart, chosen to keep their contrast on its background."""

    background: str
    ink: str
    faint: str
    tuned: str
    pretrained: str


LIGHT = Theme(background="#ffffff", ink="#1d2530", faint="#d7dce3", tuned="#0b6bcb", pretrained="#6b7685")
DARK = Theme(background="#171b21", ink="#e4e8ee", faint="#38414d", tuned="#5cb0ff", pretrained="#a0abb9")


def draw(findings: Findings, *, theme: Theme = LIGHT, narrow: bool = False) -> bytes:
    """Draw the curve and the before and after of each task, as PNG.

    Args:
        findings: Of the run.
        theme: Its colours.
        narrow: Set the panels below each other, for a phone.
    """
    figure = Figure(dpi=200, layout="constrained", facecolor=theme.background)
    figure.set_size_inches((4.2, 5.6) if narrow else (9.0, 3.8))
    FigureCanvasAgg(figure)
    panels = _panels(figure, findings, narrow=narrow)
    if "curve" in panels:
        _curve(panels["curve"], findings, theme)
    _pair(panels["target"], findings.target, theme, "Target")
    panels["target"].tick_params(labelleft=narrow or "curve" not in panels)
    if findings.source is not None:
        _pair(panels["source"], findings.source, theme, "Source")
        # From zero, so that a loss looks as large as it is.
        low, high = panels["source"].get_ylim()
        room = 0.08 * max(abs(low), abs(high))
        panels["source"].set_ylim(min(low - room, 0.0), max(high + room, 0.0))
    content = io.BytesIO()
    figure.savefig(content, format="png", facecolor=theme.background)
    figure.clear()  # its parts hold each other, and each figure would stay until Python looks for cycles
    return content.getvalue()


def _panels(figure: Figure, findings: Findings, *, narrow: bool) -> dict[str, Axes]:
    pairs = ["target"] if findings.source is None else ["target", "source"]
    if not findings.curve:
        return figure.subplot_mosaic([pairs])
    if narrow:
        panels = figure.subplot_mosaic(
            [["curve"] * len(pairs), pairs], height_ratios=[1.25, 1], gridspec_kw={"hspace": 0.08}
        )
    else:
        panels = figure.subplot_mosaic([["curve", *pairs]], width_ratios=[3.4] + [1] * len(pairs))
    panels["target"].sharey(panels["curve"])
    return panels


def _curve(axes: Axes, findings: Findings, theme: Theme) -> None:
    steps = [point.steps for point in findings.curve]
    estimates = [point.evaluation.interval for point in findings.curve]
    axes.fill_between(
        steps,
        [estimate.low for estimate in estimates],
        [estimate.high for estimate in estimates],
        color=theme.tuned,
        alpha=0.18,
        linewidth=0,
    )
    means = [estimate.value for estimate in estimates]
    line = axes.plot(steps, means, color=theme.tuned, marker="o", markersize=3.5, label="in training")
    line[0].set_clip_on(False)
    level = findings.target.before.interval.value
    axes.axhline(level, color=theme.pretrained, linestyle=(0, (5, 3)), linewidth=1.4, label="pretrained")
    _dress(axes, theme, "Return on the target task")
    axes.set_xlabel("steps on the target task", color=theme.ink, fontsize=9)
    axes.set_xlim(min(0, steps[0]), None)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.legend(loc="best", frameon=False, fontsize=8.5, labelcolor=theme.ink)


def _pair(axes: Axes, measured: Measured, theme: Theme, title: str) -> None:
    ends = (measured.before.interval, theme.pretrained), (measured.after.interval, theme.tuned)
    axes.plot([0, 1], [estimate.value for estimate, _ in ends], color=theme.faint, linewidth=1.2, zorder=1)
    for at, (estimate, colour) in enumerate(ends):
        span = [estimate.low, estimate.high]
        axes.plot([at, at], span, color=colour, linewidth=2.2, solid_capstyle="butt", zorder=2)
        axes.plot([at], [estimate.value], color=colour, marker="o", markersize=6, zorder=3)
    _dress(axes, theme, title)
    axes.set_xlim(-0.5, 1.5)
    axes.set_xticks([0, 1], ["before", "after"])


def _dress(axes: Axes, theme: Theme, title: str) -> None:
    axes.set_facecolor(theme.background)
    axes.set_title(title, loc="left", fontsize=9.5, color=theme.ink)
    axes.tick_params(colors=theme.ink, labelsize=8.5, length=0)
    axes.grid(axis="y", color=theme.faint, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.margins(y=0.12)
    for side in axes.spines.values():
        side.set_visible(False)


def _short(value: float) -> str:
    return (
        f"{value / 1_000_000:g}M" if value >= 1_000_000 else f"{value / 1_000:g}k" if value >= 1_000 else f"{value:g}"
    )
