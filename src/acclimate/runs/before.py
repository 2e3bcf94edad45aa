"""What was measured before training; a resumed run reads it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from acclimate.evaluation.evaluate import Evaluation
from acclimate.evaluation.transitions import Transitions
from acclimate.files.atomic import write_atomic
from acclimate.planning.case import Case
from acclimate.planning.probe import Situation, probe
from acclimate.runs.episodes import Episodes
from acclimate.runs.folder import PROBED, read_json
from acclimate.sb3.vocabulary import OFF_POLICY

_FILE = "before.json"


@dataclass(frozen=True)
class Before:
    """The situation, and the untouched agent's episodes."""

    situation: Situation
    target: Evaluation
    """On the seeds of the final evaluation, in the changed world."""
    source: Evaluation | None
    """On the same seeds in the world of pretraining."""
    selection: Evaluation
    """On the seeds of the measurements during training."""
    probed: Transitions | None = None
    """The probe's steps in the changed world, for algorithms that can learn from them."""

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Return whether a run's folder holds one."""
        return (folder / _FILE).exists()

    def write(self, folder: Path) -> None:
        """Write it into a run's folder."""
        if self.probed is not None:
            self.probed.write(folder / PROBED)
        write_atomic(folder / _FILE, json.dumps(self.to_json()))

    @classmethod
    def read(cls, folder: Path, *, probed: bool) -> Before:
        """Read what `write` wrote.

        Args:
            folder: The run's.
            probed: Whether the probe's steps are among it.

        Raises:
            SourceError: A file is missing or damaged.
        """
        before = cls.from_json(read_json(folder / _FILE))
        return replace(before, probed=Transitions.read(folder / PROBED)) if probed else before

    def to_json(self) -> dict[str, Any]:
        """Return the measurements as JSON-able data."""
        return {
            "situation": asdict(self.situation),
            "target": self.target.to_json(),
            "source": None if self.source is None else self.source.to_json(),
            "selection": self.selection.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Before:
        """Read what `to_json` returned."""
        source = data["source"]
        return cls(
            Situation(**data["situation"]),
            Evaluation.from_json(data["target"]),
            None if source is None else Evaluation.from_json(source),
            Evaluation.from_json(data["selection"]),
        )


def look(case: Case, folder: Path | None, *, resume: bool) -> Before:
    """Measure the pretrained agent in both worlds, or read what a killed run has measured.

    Args:
        case: Of the run.
        folder: Of the run; what was measured is written there.
        resume: Whether a killed run goes on there.

    Raises:
        SpaceMismatchError: The agent's spaces are not the task's.
        TaskError: The environment raised.
        SourceError: What was measured is damaged.
    """
    off_policy = case.agent.algorithm in OFF_POLICY
    if folder is not None and resume and Before.is_in(folder):
        return Before.read(folder, probed=off_policy)
    probed = Transitions() if off_policy else None
    situation = probe(case, record=probed)
    play = Episodes(case)
    jobs = {**play.everywhere(lambda: case.agent), "selection": lambda: play.selection(case.agent)}
    before = Before(situation=situation, probed=probed, **{"source": None, **play.together(jobs)})
    if folder is not None:
        before.write(folder)
    return before
