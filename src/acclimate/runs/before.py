"""What was measured before training; a resumed run reads it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.evaluation.evaluate import Evaluation
from acclimate.evaluation.transitions import Transitions
from acclimate.files.atomic import write_atomic
from acclimate.planning.probe import Situation
from acclimate.reports.findings import Point
from acclimate.runs.folder import PROBED, read_json
from acclimate.training.callbacks.selection import Record

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

    def curve(self, record: Record) -> tuple[Point, ...]:
        """Return the learning curve: these episodes, then those that were played during training."""
        first = self.selection
        rest = [(p.steps, replace(first, returns=p.returns, lengths=p.lengths)) for p in record.points]
        return tuple(Point(steps, found) for steps, found in [(0, first), *rest])

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
            "target": _out(self.target),
            "source": None if self.source is None else _out(self.source),
            "selection": _out(self.selection),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Before:
        """Read what `to_json` returned."""
        source = data["source"]
        return cls(
            Situation(**data["situation"]),
            _in(data["target"]),
            None if source is None else _in(source),
            _in(data["selection"]),
        )


def _out(found: Evaluation) -> dict[str, Any]:
    arrays = {name: getattr(found, name).tolist() for name in ("returns", "lengths", "seeds")}
    return {**arrays, "deterministic": found.deterministic}


def _in(data: Mapping[str, Any]) -> Evaluation:
    counts = {name: np.asarray(data[name], dtype=np.int64) for name in ("lengths", "seeds")}
    returns = np.asarray(data["returns"], dtype=np.float64)
    return Evaluation(returns=returns, deterministic=data["deterministic"], **counts)
