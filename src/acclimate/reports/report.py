"""The report of a run: its findings on the terminal, and as the files of a run's folder."""

from __future__ import annotations

import io
import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from acclimate.errors import ConfigError
from acclimate.files.atomic import write_atomic
from acclimate.files.bounded import read_text
from acclimate.files.plain import read_json
from acclimate.reports import successes, wording
from acclimate.reports.findings import Findings, Point
from acclimate.reports.missing import Missing

WIDTH = 100


@dataclass(frozen=True, kw_only=True)
class Report(Findings):
    """What a run brought, with its statistics.

    `print(report)` shows the gist; `write` leaves the whole in the run's folder.
    """

    def __str__(self) -> str:
        """Return a table of at most 100 columns, without colours."""
        lines = [f"verdict: {self.verdict}  (kept: {self.kept})", wording.target_sentence(self)]
        source = wording.source_sentence(self)
        lines += [source] if source else []
        success = successes.success_sentence(self)
        lines += [success] if success else []
        unseen = wording.unseen_sentence(self)
        lines += [wording.evidence_sentence(self), *([unseen] if unseen else []), "", *_table(self), ""]
        lines += [f"{name + ':':<28}{value}" for name, value in wording.costs(self)]
        lines += ["", *(f"- {sentence}" for sentence in self.diagnosis)] if self.diagnosis else []
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ") if line else "" for line in lines)

    def write(self, folder: str | PathLike[str], missing: Missing | None = None) -> Report:
        """Write `report.md`, `report.html`, `curve.png`, `evaluations.npz` and, last, `report.json`.

        Each is written whole or not at all. The page holds `before.mp4` and `after.mp4` where they are. One that cannot
        be made costs a note; `report.json` alone has to be there.

        Args:
            folder: Made if it is not there.
            missing: Holds notes on what is missing already.

        Returns:
            The report with the notes.

        Raises:
            ConfigError: If the folder or `report.json` cannot be written.
        """
        # A training run has no use for what draws, before its end.
        from acclimate.reports import chart, pages

        folder, missing, drawn = Path(folder), missing or Missing(), False
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot make the folder {folder} ({error.strerror}); choose another one") from error
        with missing.trying("curve.png"):
            write_atomic(folder / "curve.png", chart.draw(self))
            drawn = True
        if self.curve:
            with missing.trying("evaluations.npz"):
                write_atomic(folder / "evaluations.npz", evaluations(self.curve))
        noted = self._with(missing)
        with missing.trying("report.md"):
            write_atomic(folder / "report.md", pages.markdown(noted))
        with missing.trying("report.html"):
            write_atomic(folder / "report.html", pages.html(noted, folder, charts=drawn))
        noted = self._with(missing)
        # What JSON does not know is a note on a recipe or a situation, and better as text than as the end of a run.
        data = json.dumps(noted.to_json(), indent=1, allow_nan=False, default=str)
        write_atomic(folder / "report.json", f"{data}\n")
        return noted

    def _with(self, missing: Missing) -> Report:
        return replace(self, notes=tuple(dict.fromkeys((*self.notes, *missing.notes))))


def read(path: str | PathLike[str]) -> Report:
    """Read a `report.json`, or the one of a run's folder.

    Raises:
        ConfigError: If it is missing or no report.
    """
    path = Path(path)
    path = path / "report.json" if path.is_dir() else path
    try:
        data = read_json(read_text(path))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not a readable report ({error}); give the folder of a finished run") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds {type(data).__name__}, not a report; give the folder of a finished run")
    try:
        return Report.from_json(data)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def evaluations(curve: tuple[Point, ...]) -> bytes:
    """Return the curve in the layout of SB3's `EvalCallback`.

    That is `timesteps (T,)`, `results (T, episodes)`, `ep_lengths (T, episodes)`, and `successes (T, episodes)` where
    every episode tells. Where the points have different numbers of episodes, each keeps as many as the shortest.
    """
    width = min(len(point.evaluation.returns) for point in curve)
    told = [point.evaluation.successes for point in curve]
    known = all(each is not None and None not in each[:width] for each in told)
    target = io.BytesIO()
    np.savez(
        target,
        timesteps=np.array([point.steps for point in curve]),
        results=np.stack([point.evaluation.returns[:width] for point in curve]),
        ep_lengths=np.stack([point.evaluation.lengths[:width] for point in curve]),
        **({"successes": np.stack([each[:width] for each in told if each is not None]).astype(bool)} if known else {}),
    )
    return target.getvalue()


def _table(report: Report) -> list[str]:
    returns = _grid(("mean", "IQM", "95 % interval", "episodes"), wording.rows(report))
    told = successes.success_rows(report)
    return [*returns, "", *_grid(("success", "95 % interval", "episodes"), told)] if told else returns


def _grid(numbers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table of tasks and agents."""
    table = Table(box=box.ASCII2, show_edge=False, pad_edge=False)
    for name in ("task", "agent"):
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    shown = io.StringIO()
    Console(file=shown, width=WIDTH, color_system=None, force_terminal=False, legacy_windows=False).print(table)
    return shown.getvalue().splitlines()
