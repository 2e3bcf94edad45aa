"""Run a study: what is missing of it, in processes or here, and its report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from acclimate.errors import ConfigError
from acclimate.studies import page, wording
from acclimate.studies.cell import Cell, Key, failure
from acclimate.studies.findings import Findings
from acclimate.studies.origin import Origins
from acclimate.studies.study import UNTRAINED, Study
from acclimate.studies.worker import CELLS, tried
from acclimate.studies.workers import run_all

STUDY, LOCK = "study.yaml", ".lock"
PATIENCE = 20
"""Tenths of a second."""


@dataclass(frozen=True)
class Comparison:
    """What `compare` returns."""

    findings: Findings
    folder: Path

    def __str__(self) -> str:
        return wording.text(self.findings)


def keys(study: Study) -> Iterator[Key]:
    """Yield the cells of a study, seeds outermost, so that a table is soon complete."""
    for seed in range(study.seeds):
        for case in study.cases:
            for row in study.names:
                if seed == 0 or row not in UNTRAINED:
                    yield Key(seed, case.name, row)


def compare(
    study: Study,
    out: str | Path,
    *,
    workers: int = 1,
    trust: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Run the cells of a study that are missing in a folder, and write its report there.

    A cell that was stopped in the middle is run from its beginning: a study that was killed ends with the numbers of
    one that was not. One that failed is run again by the next call.

    Args:
        study: What is compared.
        out: Folder; `study.yaml` in it is written before the first cell.
        workers: Processes, each with one thread. A study with agents or environments that are objects of Python's has
            one, this one.
        trust: Whether the agents' files and the tasks' ids may name code that is imported.
        say: Gets lines of text on what is done.

    Raises:
        ConfigError: The folder holds a study whose cells are of other steps, worlds or recipes, or cannot be written.
    """
    folder = Path(out)
    portable = _portable(study)
    if not portable and workers > 1:
        raise ConfigError("a study with agents or environments that are objects runs in this process: give 1 worker")
    _claim(study, folder, portable=portable)
    with alone(folder):
        origins, every = Origins(study, trust=trust), list(keys(study))
        there = [key for key in every if Cell.read(folder / CELLS / key.folder, key, origins.of(key)) is not None]
        missing = [key for key in every if key not in set(there)]
        say(f"{len(every)} cells, {len(there)} of them there already")
        progress = _Progress(study, folder, len(missing), say)
        if portable:
            run_all(study, missing, folder, workers, progress.done, trust=trust)
        else:
            for key in missing:
                progress.done(key, tried(study, key, folder, trust=trust))
        return report(study, folder, trust=trust)


def report(study: Study, folder: Path, *, trust: bool = False) -> Comparison:
    """Read the cells that there are, write the pages, and return what was found."""
    findings = Findings(study, *read(study, folder))
    page.write(findings, folder, trust=trust)
    return Comparison(findings, folder)


def read(study: Study, folder: Path) -> tuple[dict[Key, Cell], dict[Key, str]]:
    """Return the cells of a study that ended, and why others failed."""
    cells, failed = {}, {}
    for key in keys(study):
        place = folder / CELLS / key.folder
        if (cell := Cell.read(place, key)) is not None:
            cells[key] = cell
        elif (why := failure(place)) is not None:
            failed[key] = why
    return cells, failed


def _portable(study: Study) -> bool:
    """Tell whether a file can hold a study, and so another process run it."""
    try:
        Study.from_config(study.to_config(), trust=True)
    except ConfigError:
        return False
    return True


def _claim(study: Study, folder: Path, *, portable: bool) -> None:
    """Write the study into its folder, beside what others of the same cells had asked for there.

    Raises:
        ConfigError: The folder holds something else, or cannot be written.
    """
    path = folder / STUDY
    if path.exists():
        known = Study.load(path, trust=True)
        if other := "agent" if not portable else study.unlike(known):
            raise ConfigError(f"{path} holds a study with another {other}: choose another folder, or give what it has")
        study.with_what(known).save(path)
        return
    if folder.exists() and any(each.name not in (LOCK, CELLS) for each in folder.iterdir()) and portable:
        raise ConfigError(f"{folder} holds something else: choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if portable:
            study.save(path)
    except OSError as error:
        raise ConfigError(f"cannot write {folder} ({error.strerror}): choose another folder") from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a study's folder: two that run the same cells there would take each other's away.

    Raises:
        ConfigError: Another process holds it.
    """
    with (folder / LOCK).open("w") as held:
        for _ in range(PATIENCE):  # what a process that was killed has begun ends a moment later
            if _locked(held):
                break
            time.sleep(0.1)
        else:
            raise ConfigError(f"another process works on the study in {folder}: wait for it, or choose another folder")
        yield


def _locked(held: IO[str]) -> bool:
    try:
        import fcntl

        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return True  # where there is no such lock
    except BlockingIOError:
        return False
    return True


class _Progress:
    """Says which cells are done, how long the others take, and who leads."""

    def __init__(self, study: Study, folder: Path, left: int, say: Callable[[str], None]) -> None:
        self.study, self.folder, self.total, self.say = study, folder, left, say
        self.ended, self.begun, self.shown = 0, time.monotonic(), 0.0

    def done(self, key: Key, why: str | None) -> None:
        """Say that a cell has ended."""
        self.ended += 1
        spent = time.monotonic() - self.begun
        left = spent / self.ended * (self.total - self.ended)
        said = "done" if why is None else f"failed: {' '.join(why.split())[:160]}"
        self.say(f"{self.ended}/{self.total} {key}: {said}; about {_lasting(left)} left")
        # The leaderboard so far, now and then: it takes a moment.
        if time.monotonic() - self.shown > 30 and self.ended < self.total:
            self.shown = time.monotonic()
            self.say(wording.leaders(Findings(self.study, *read(self.study, self.folder))))


def _lasting(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min" if minutes else f"{rest} s"
