"""The picture of a run: the learning curve beside what was measured before and after."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from acclimate.evaluate import Evaluation
from acclimate.findings import Findings


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
    figure = Figure(
        figsize=(4.2, 5.6) if narrow else (9.0, 3.8),
        dpi=200,
        layout="constrained",
        facecolor=theme.background,
    )
    FigureCanvasAgg(figure)
    tasks = 1 if findings.source is None else 2
    if not findings.curve:
        sides = figure.subplots(1, tasks, squeeze=False)[0]
    elif narrow:
        areas = figure.subplot_mosaic(
            [["curve"] * tasks, [f"side{i}" for i in range(tasks)]], height_ratios=[1.25, 1]
        )
        sides = [areas[f"side{i}"] for i in range(tasks)]
    else:
        areas = figure.subplot_mosaic(
            [["curve", *(f"side{i}" for i in range(tasks))]],
            width_ratios=[3.4 if tasks == 2 else 2.6] + [1] * tasks,
        )
        sides = [areas[f"side{i}"] for i in range(tasks)]
    if findings.curve:
        _curve(areas["curve"], findings, theme)
    _sides(list(sides), findings, theme)
    target = io.BytesIO()
    figure.savefig(target, format="png", facecolor=theme.background)
    return target.getvalue()


def _curve(axes: Axes, findings: Findings, theme: Theme) -> None:
    steps = np.array([point.steps for point in findings.curve])
    estimates = [point.evaluation.interval for point in findings.curve]
    means = np.array([estimate.value for estimate in estimates])
    low, high = (np.array([getattr(estimate, end) for estimate in estimates]) for end in ("low", "high"))
    axes.fill_between(steps, low, high, color=theme.tuned, alpha=0.18, linewidth=0)
    axes.plot(steps, means, color=theme.tuned, marker="o", markersize=3.5, linewidth=1.8, label="in training")
    axes.axhline(
        findings.target.before.interval.value,
        color=theme.pretrained,
        linestyle=(0, (5, 3)),
        linewidth=1.4,
        label="pretrained",
    )
    _dress(axes, theme, "Return on the target task")
    axes.set_xlabel("steps on the target task", color=theme.ink, fontsize=9)
    axes.set_xlim(min(0, steps[0]), None)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.legend(loc="best", frameon=False, fontsize=8.5, labelcolor=theme.ink)


def _sides(axes: list[Axes], findings: Findings, theme: Theme) -> None:
    for panel, (title, measured) in zip(
        axes, (("Target", findings.target), ("Source", findings.source)), strict=False
    ):
        if measured is None:
            continue
        _whisker(panel, 0, measured.before, theme.pretrained)
        _whisker(panel, 1, measured.after, theme.tuned)
        panel.plot(
            [0, 1],
            [measured.before.interval.value, measured.after.interval.value],
            color=theme.faint,
            linewidth=1.2,
            zorder=1,
        )
        _dress(panel, theme, f"{title}: before, after")
        panel.set_xlim(-0.5, 1.5)
        panel.set_xticks([0, 1], ["before", "after"])


def _whisker(axes: Axes, at: float, played: Evaluation, colour: str) -> None:
    estimate = played.interval
    axes.plot(
        [at, at], [estimate.low, estimate.high], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=2
    )
    axes.plot([at], [estimate.value], color=colour, marker="o", markersize=6, zorder=3)


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
        f"{value / 1_000_000:g}M"
        if value >= 1_000_000
        else f"{value / 1_000:g}k"
        if value >= 1_000
        else f"{value:g}"
    )
