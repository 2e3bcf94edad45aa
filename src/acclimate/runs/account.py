"""The report of a run, put together and written down."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from acclimate.agents.agent import Agent
from acclimate.diagnosis.observations import names
from acclimate.diagnosis.sentences import diagnose
from acclimate.evaluation.evaluate import Point
from acclimate.evaluation.film import film
from acclimate.evaluation.seeds import FINAL_SEED
from acclimate.formats import bundle
from acclimate.planning.case import Case
from acclimate.reports.report import Report
from acclimate.runs.before import Before
from acclimate.runs.folder import environment
from acclimate.runs.judging import Verdict
from acclimate.training.job import Trained


def account(case: Case, before: Before, trained: Trained, verdict: Verdict, *, seconds: float) -> Report:
    """Return the report of a run.

    Args:
        case: What was to be done.
        before: What was measured first.
        trained: What came of the training.
        verdict: What is kept.
        seconds: Of this run, without those that it resumed.
    """
    agent, kept, job = case.agent, verdict.kept, trained.job
    source, normalizer = verdict.measured.get("source"), agent.normalizer
    keeps: Literal["tuned", "pretrained"] = "pretrained" if verdict.chosen is None else "tuned"
    sentences = diagnose(
        before.situation,
        trained.signals,
        points=trained.record.points,
        pretrained=before.selection,
        source=source,
        features=names(agent.observation_space),
        scaled=() if normalizer is None else normalizer.features,
    )
    return Report(
        agent=agent.origin.path or agent.algorithm,
        algorithm=kept.algorithm,
        task=case.task.describe(),
        source_task=None if case.source is None else case.source.describe(),
        method=job.name,
        seed=case.recipe.seed,
        steps=case.recipe.steps,
        steps_charged=trained.steps_charged,
        wall_seconds=trained.seconds_before + seconds,
        trainable_parameters=trained.trainable_parameters,
        total_parameters=trained.total_parameters,
        target=verdict.measured["target"],
        source=source,
        kept=keeps,
        judged=case.recipe.evaluation.judging_episodes,
        carried=trained.started.carried,
        reset=trained.started.reset,
        choices=(*job.plan.why(), ("engine", *trained.engine), ("kept", keeps, verdict.why)),
        situation=before.situation.to_json(),
        diagnosis=tuple(sentences),
        signals=trained.signals.to_json(),
        curve=(Point(0, before.selection), *trained.record.points),
        recipe=case.recipe.to_dict(),
        environment=environment(),
        normalized=kept.normalizer is not None,
        stock=not kept.methods,
        notes=() if trained.diverged is None else (trained.diverged,),
    )


def write(folder: Path, case: Case, kept: Agent, report: Report) -> Report:
    """Write the agent, the films and the report into a run's folder, and return the report with what is missing there.

    Raises:
        ExportError: The agent cannot be written.
        ConfigError: The report cannot be written.
    """
    if not kept.methods:
        kept.save(folder / "agent.zip")
    bundle.save(kept, folder / "bundle")
    who = {"before": case.agent, "after": kept}
    films = [film(agent, case.task, folder / f"{when}.mp4", seed=FINAL_SEED) for when, agent in who.items()]
    clips = [each.end() for each in films]
    notes = tuple(dict.fromkeys(clip.reason for clip in clips if clip.reason))
    if kept.methods:
        names = " and ".join(dict.fromkeys(f"`{method.name}`" for method in kept.methods if not method.foldable))
        notes += (f"no agent.zip: {names} in its networks cannot end as a stock network; load the bundle",)
    report = dataclasses.replace(report, notes=(*report.notes, *notes))
    report.write(folder)
    return report
