"""The report of a run, put together, and its films."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from acclimate.agents.agent import Agent
from acclimate.diagnosis.observations import names
from acclimate.diagnosis.sentences import diagnose
from acclimate.evaluation.evaluate import Point
from acclimate.evaluation.film import film
from acclimate.evaluation.seeds import FINAL_SEED
from acclimate.planning.case import Case
from acclimate.reports.missing import Missing
from acclimate.reports.report import Report
from acclimate.runs.before import Before
from acclimate.runs.folder import environment
from acclimate.runs.judging import Verdict
from acclimate.training.job import Trained


def account(
    case: Case, before: Before, trained: Trained, verdict: Verdict, missing: Missing, *, seconds: float
) -> Report:
    """Return the report of a run.

    Args:
        case: What was to be done.
        before: What was measured first.
        trained: What came of the training.
        verdict: What is kept.
        missing: Gets a note of what cannot be made.
        seconds: Of this run, without those that it resumed.
    """
    agent, kept, job = case.agent, verdict.kept, trained.job
    keeps: Literal["tuned", "pretrained"] = "pretrained" if verdict.chosen is None else "tuned"
    return Report(
        agent=agent.origin.path or agent.algorithm,
        algorithm=kept.algorithm,
        task=case.task.describe(),
        source_task=None if case.source is None else case.source.describe(),
        method=job.name,
        seed=case.recipe.seed,
        steps=case.recipe.steps,
        steps_charged=trained.steps_charged,
        steps_home=trained.steps_home,
        steps_measured=before.steps_measured + trained.steps_measured + verdict.steps,
        wall_seconds=trained.seconds_before + seconds,
        trainable_parameters=trained.trainable_parameters,
        total_parameters=trained.total_parameters,
        target=verdict.measured["target"],
        source=verdict.measured.get("source"),
        kept=keeps,
        judged=case.recipe.evaluation.judging_episodes,
        carried=trained.started.carried,
        reset=trained.started.reset,
        choices=(*job.plan.why(), ("engine", *trained.engine), ("kept", keeps, verdict.why)),
        situation=before.situation.to_json(),
        diagnosis=_diagnosed(case, before, trained, verdict, missing),
        signals=trained.signals.to_json(),
        curve=(Point(0, before.selection), *trained.record.points),
        recipe=case.recipe.to_dict(),
        environment=environment(),
        normalized=kept.normalizer is not None,
        stock=not kept.methods,
        foreign=not kept.blueprint.is_data,
        notes=(*before.notes, *_notes(trained)),
    )


def _diagnosed(case: Case, before: Before, trained: Trained, verdict: Verdict, missing: Missing) -> tuple[str, ...]:
    normalizer = case.agent.normalizer
    with missing.trying("diagnosis"):
        sentences = diagnose(
            before.situation,
            trained.signals,
            points=trained.record.points,
            pretrained=before.selection,
            source=verdict.measured.get("source"),
            features=names(case.agent.observation_space),
            scaled=() if normalizer is None else normalizer.features,
            algorithm=trained.job.plan.algorithm,
        )
        return tuple(sentences)
    return ()


def _notes(trained: Trained) -> Iterator[str]:
    """Yield what the training itself could not keep."""
    if trained.resumed:
        at = ", ".join(f"{steps:,}" for steps in trained.resumed)
        yield f"resumed at training step {at}: episodes began anew there, so a run without a break has other numbers"
    if trained.diverged is not None:
        yield trained.diverged


def film_both(case: Case, kept: Agent, folder: Path, missing: Missing) -> None:
    """Film an episode of the pretrained agent and one of the kept agent, at the same time."""
    films = []
    for when, agent in {"before": case.agent, "after": kept}.items():
        with missing.trying(f"{when}.mp4"):
            films.append(film(agent, case.task, folder / f"{when}.mp4", seed=FINAL_SEED))
    for each in films:
        with missing.trying("film"):
            missing.note(*filter(None, [each.end().reason]))
