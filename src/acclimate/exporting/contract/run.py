"""The run that tuned an agent, as the run's folder tells of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError
from acclimate.files.bounded import read_text
from acclimate.files.plain import read_json
from acclimate.reports.report import Report, read
from acclimate.tasks.task import Task

# A file of the Hub as its client keeps it, and its address.
_ON_THE_HUB = re.compile(r"hf://([\w.-]+/[\w.-]+?)(?:/.*)?|.*models--([\w.-]+?)--([\w.-]+)[/\\]snapshots[/\\].*")


@dataclass(frozen=True)
class Tuning:
    """A finished run."""

    folder: Path
    report: Report
    identity: Mapping[str, Any]
    """What makes it one run: the task, the pretrained agent's hash."""

    @property
    def base_model(self) -> str | None:
        """The Hub's name of the pretrained agent, where it came from there."""
        match = _ON_THE_HUB.fullmatch(self.report.agent)
        return None if match is None else match[1] or f"{match[2]}/{match[3]}"

    def task(self) -> Task | None:
        """Return the task of the run; None where it was a callable, which no file holds.

        Raises:
            ConfigError: The folder asks for code to be imported, or is broken.
        """
        callables = self.identity.get("callables")
        made = isinstance(callables, Mapping) and callables.get("target") is not None
        return (
            None if made or "task" not in self.identity else Task.from_config(self.identity["task"], "run.json: task")
        )

    def facts(self) -> dict[str, Any]:
        """Return what of it belongs into the history of an agent."""
        report = self.report
        return {
            "name": self.folder.name,
            "report_sha256": hashlib.sha256((self.folder / "report.json").read_bytes()).hexdigest(),
            "pretrained": Path(report.agent).name,
            "pretrained_sha256": self.identity.get("agent"),
            "base_model": self.base_model,
            "task": report.task,
            "method": report.method,
            "seed": report.seed,
            "steps": report.steps,
            "steps_charged": report.steps_charged,
            "verdict": report.verdict,
            "kept": report.kept,
        }


def tuning_of(agent: Agent) -> Tuning | None:
    """Return the run whose agent this is; None where it was loaded from no finished run's folder."""
    if agent.origin.path is None:
        return None
    folder = Path(agent.origin.path).parent
    try:
        report, identity = read(folder), read_json(read_text(folder / "run.json"))
    except (ConfigError, OSError, ValueError):
        return None
    return Tuning(folder, report, identity) if isinstance(identity, dict) else None
