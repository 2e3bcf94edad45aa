"""Fine-tune an agent to a task: look, train, judge, and write down what was found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from stable_baselines3.common.type_aliases import MaybeCallback

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError
from acclimate.planning.case import Case
from acclimate.planning.plan import make_plan
from acclimate.planning.probe import Situation
from acclimate.planning.recipe import Recipe
from acclimate.reports.missing import Missing
from acclimate.reports.report import Report, read
from acclimate.runs import keeping
from acclimate.runs.account import account, film_both
from acclimate.runs.before import look
from acclimate.runs.folder import RunFolder
from acclimate.runs.judging import judge
from acclimate.runs.measuring import foreseen
from acclimate.runs.tracking import Tracking, mirrored
from acclimate.tasks.spaces import check_spaces
from acclimate.tasks.task import Task
from acclimate.training import checkpoint
from acclimate.training.job import Job, Listeners, silent
from acclimate.training.trainer import train


@dataclass(frozen=True)
class Run:
    """What `finetune` returns."""

    agent: Agent
    """The agent to use: the tuned one, or a copy of the pretrained one where nothing was better."""
    report: Report
    folder: Path | None


def finetune(
    agent: Agent,
    task: Task,
    recipe: Recipe | None = None,
    *,
    source: Task | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    callback: MaybeCallback = None,
    progress: bool = True,
    track: Tracking | None = None,
    say: Callable[[str], None] | None = None,
) -> Run:
    """Adapt an agent to a changed world; the agent given is left as it is.

    Args:
        agent: The pretrained agent.
        task: The changed world.
        recipe: What to do; the default trains everything as a competent user of SB3 does.
        source: The world of pretraining, where forgetting is measured; the task without its shifts if not given.
        out: Folder of the run; None writes nothing.
        resume: Go on where a killed run of the same recipe stood in `out`.
        callback: SB3 callbacks that see the training too.
        progress: Whether to show a progress bar on a terminal.
        track: Mirror the run to Weights & Biases.
        say: Called with lines of text on what is carried over, what is reset and what was decided.

    Raises:
        ConfigError: The recipe cannot be used, or the folder cannot be written.
        ExportError: No form of file can hold what the run would end with, or a full disk took the tuned agent.
        SpaceMismatchError: The agent's spaces are not the task's.
        TaskError: The environment raised.
    """
    recipe = recipe or Recipe()
    task, source = fitted(agent, task, source)
    # What cannot be tuned is refused before anything is written, and so is what no report can hold.
    make_plan(agent, recipe, Situation(), home=source is not None)
    recipe.to_dict()
    case, listeners = Case(agent, task, source, recipe), Listeners(callback, progress, say or silent)
    if out is not None:
        with RunFolder(Path(out)).claimed(recipe, case.identity(), resume=resume) as folder:
            return _in_folder(case, listeners, folder, track, resume=resume)
    if track is not None:
        raise ConfigError("tracking reads the files of a run: give the run a folder (`out`).")
    kept, report = tune(case, listeners, None, Missing(), resume=resume)
    return Run(kept, report, None)


def fitted(agent: Agent, task: Task, source: Task | None) -> tuple[Task, Task | None]:
    """Return both worlds, if the agent fits them; what shifts its sensors does so in units that it knows.

    Raises:
        SpaceMismatchError: It does not.
    """
    if source is None and task.shifts:
        source = task.source
    check_spaces(agent, task)
    if agent.normalizer is not None and isinstance(agent.normalizer.obs_var, np.ndarray):
        task = task.scaled(np.sqrt(agent.normalizer.obs_var))
    if source is not None:
        check_spaces(agent, source)
    return task, source


def _in_folder(case: Case, listeners: Listeners, folder: RunFolder, track: Tracking | None, *, resume: bool) -> Run:
    path, missing = folder.path, Missing()
    if resume and folder.is_finished:
        report = read(path)
        return Run(keeping.read(path, case, report.algorithm), report, path)
    for note in keeping.rehearse(case, path):
        listeners.say(f"note: {note}")
    with mirrored(track, path, case.recipe.to_dict(), missing):
        kept, report = tune(case, listeners, path, missing, resume=resume)
        film_both(case, kept, path, missing)
    return Run(kept, report.write(path, missing), path)


def tune(
    case: Case, listeners: Listeners, folder: Path | None, missing: Missing, *, resume: bool
) -> tuple[Agent, Report]:
    """Look, train and judge; write the agent that is kept, and return it and the report."""
    begun = time.perf_counter()
    saved = checkpoint.read(folder) if folder is not None and resume else None
    before = look(case, folder, resume=resume)
    for note in before.notes:
        listeners.say(f"note: {note}")
    plan = make_plan(case.agent, case.recipe, before.situation, home=case.source is not None)
    measuring = foreseen(case, plan, before)
    job = Job(case, plan, before.selection, before.situation.steps, before.probed, measuring, folder, listeners)
    trained = train(job, saved)
    listeners.ended(trained)
    verdict = judge(case, before, trained)
    if folder is not None:
        missing.note(*keeping.write(verdict.kept, folder))
        if verdict.chosen is None and trained.last is not None:
            with missing.trying(keeping.LAST):
                missing.note(*keeping.write_last(trained.tuned(trained.last), folder))
    return verdict.kept, account(case, before, trained, verdict, missing, seconds=time.perf_counter() - begun)
