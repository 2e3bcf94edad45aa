"""Fine-tune an agent to a task: look, train, judge, and write down what was found."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.type_aliases import MaybeCallback

from acclimate.agents.agent import Agent
from acclimate.agents.load import load
from acclimate.diagnosis.sentences import diagnose
from acclimate.errors import AcclimateError, ConfigError
from acclimate.evaluation.film import film
from acclimate.evaluation.transitions import Transitions
from acclimate.formats import bundle
from acclimate.planning.arguments import OFF_POLICY
from acclimate.planning.plan import make_plan
from acclimate.planning.probe import Situation, probe
from acclimate.planning.recipe import FINAL_SEED, Recipe
from acclimate.reports import report as reports
from acclimate.reports.report import Report
from acclimate.runs.before import Before
from acclimate.runs.folder import RunFolder, environment
from acclimate.runs.judging import Judging
from acclimate.runs.tracking import Tracking
from acclimate.tasks.spaces import task_spaces
from acclimate.tasks.task import Task, check_spaces
from acclimate.training import checkpoint
from acclimate.training.callbacks.selection import Snapshot
from acclimate.training.trainer import Job, Trained, train


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
        recipe: What to do; the default trains everything and lets a probe choose the warm start.
        source: The world of pretraining, where forgetting is measured; the task without its shifts if not given.
        out: Folder of the run; None writes nothing.
        resume: Go on where a killed run of the same recipe stood in `out`.
        callback: SB3 callbacks that see the training too.
        progress: Whether to show a progress bar on a terminal.
        track: Mirror the run to Weights & Biases.
        say: Called with lines of text on what is carried over, what is reset and what was decided.

    Raises:
        ConfigError: The recipe cannot be used, or the folder cannot be written.
        SpaceMismatchError: The agent's spaces are not the task's.
        TaskError: The environment raised.
    """
    recipe = recipe or Recipe()
    if source is None and task.shifts:
        source = task.source
    check_spaces(agent, task)
    if agent.normalizer is not None and isinstance(agent.normalizer.obs_var, np.ndarray):
        task = task.scaled(np.sqrt(agent.normalizer.obs_var))
    if source is not None:
        check_spaces(agent, source)
    return _Session(agent, task, source, recipe, callback, progress, say or _silent, track).run(out, resume)


def _silent(_: str) -> None:
    return None


@dataclass
class _Session:
    agent: Agent
    task: Task
    source: Task | None
    recipe: Recipe
    callback: MaybeCallback
    progress: bool
    say: Callable[[str], None]
    track: Tracking | None

    def run(self, out: str | Path | None, resume: bool) -> Run:
        make_plan(self.agent, self.recipe, Situation())  # refuses what cannot be tuned before anything is written
        if out is None:
            if self.track is not None:
                raise ConfigError("tracking reads the files of a run: give the run a folder (`out`).")
            return self._run(None, resume)
        folder = RunFolder(Path(out))
        folder.open(self.recipe, self._identity(), resume=resume)
        if resume and folder.is_finished:
            return Run(load(folder.path), reports.read(folder.path), folder.path)
        try:
            return self._run(folder, resume)
        except AcclimateError:
            folder.abandon()
            raise

    def _run(self, folder: RunFolder | None, resume: bool) -> Run:
        tracked = self.track.start(folder.path, self.recipe.to_dict()) if self.track and folder else None
        kept, report = self._tune(folder, resume)
        if folder is not None:
            report = self._write(folder, kept, report)
        if tracked is not None:
            tracked.finish()
        return Run(kept, report, None if folder is None else folder.path)

    def _tune(self, folder: RunFolder | None, resume: bool) -> tuple[Agent, Report]:
        begun = time.perf_counter()
        saved = checkpoint.read(folder.path) if folder is not None and resume else None
        before = self._before(folder, resume)
        plan = make_plan(self.agent, self.recipe, before.situation)
        job = Job(
            agent=self.agent,
            task=self.task,
            source=self.source,
            recipe=self.recipe,
            plan=plan,
            pretrained=before.selection,
            charged=before.situation.steps,
            probed=before.probed,
            folder=folder,
            callback=self.callback,
            progress=self.progress,
            say=self.say,
        )
        trained = train(job, saved)
        return self._finish(job, before, trained, begun)

    def _identity(self) -> dict[str, Any]:
        source = None if self.source is None else _identity_of(self.source)
        return {"agent": self.agent.origin.sha256, "task": _identity_of(self.task), "source": source}

    # Before

    def _before(self, folder: RunFolder | None, resume: bool) -> Before:
        off_policy = self.agent.algorithm in OFF_POLICY
        if folder is not None and resume and Before.is_in(folder.path):
            return Before.read(folder.path, probed=off_policy)
        plan = self.recipe.evaluation
        episodes = self.recipe.warm_start.probe_episodes if self.recipe.mode == "adapt" else 0
        budget, probed = self.recipe.steps, Transitions() if off_policy else None
        situation = probe(
            self.agent, self.task, self.source, episodes=episodes, n_envs=plan.n_envs, budget=budget, record=probed
        )
        before = Before(situation=situation, probed=probed, **self._judging.before())
        if folder is not None:
            before.write(folder.path)
        return before

    @property
    def _judging(self) -> Judging:
        return Judging(self.agent, self.task, self.source, self.recipe)

    # After

    def _finish(self, job: Job, before: Before, trained: Trained, begun: float) -> tuple[Agent, Report]:
        counts = trained.seam.trainable_parameters, trained.seam.total_parameters
        judging = self._judging
        chosen = judging.choose(trained)
        last = judging.last(trained, chosen)  # before the model in training is made a stock one
        kept = self._kept_agent(job, trained, chosen)
        same = chosen is not None and chosen is trained.last
        measured = judging.measured(before, None if chosen is None else kept, last, same=same)
        source = measured.get("source")
        report = Report(
            agent=self.agent.origin.path or self.agent.algorithm,
            algorithm=kept.algorithm,
            task=self.task.describe(),
            source_task=None if self.source is None else self.source.describe(),
            method=job.name,
            seed=self.recipe.seed,
            steps=self.recipe.steps,
            steps_charged=before.situation.steps + trained.steps + trained.seam.tuner.context.charged,
            wall_seconds=trained.seconds_before + time.perf_counter() - begun,
            trainable_parameters=counts[0],
            total_parameters=counts[1],
            target=measured["target"],
            source=source,
            kept="pretrained" if chosen is None else "tuned",
            carried=trained.started.carried,
            reset=trained.started.reset,
            choices=(*job.plan.why(), ("engine", *trained.engine)),
            situation=before.situation.to_json(),
            diagnosis=tuple(diagnose(self.agent, before.situation, trained, source)),
            signals=trained.signals.to_json(),
            curve=before.curve(trained.record),
            recipe=self.recipe.to_dict(),
            environment=environment(),
            normalized=kept.normalizer is not None,
            stock=not kept.methods,
            notes=() if trained.diverged is None else (trained.diverged,),
        )
        return kept, report

    def _kept_agent(self, job: Job, trained: Trained, chosen: Snapshot | None) -> Agent:
        spaces = task_spaces(self.agent, self.task)
        agent = self.agent if chosen is None else trained.tuned(chosen, job)
        return Agent(
            dataclasses.replace(agent.blueprint, **spaces), agent.model, agent.normalizer, agent.origin, agent.methods
        ).copy()

    def _write(self, folder: RunFolder, kept: Agent, report: Report) -> Report:
        if not kept.methods:
            kept.save(folder.path / "agent.zip")
        bundle.save(kept, folder.path / "bundle")
        who = {"before": self.agent, "after": kept}
        films = [film(agent, self.task, folder.path / f"{when}.mp4", seed=FINAL_SEED) for when, agent in who.items()]
        clips = [each.end() for each in films]
        notes = tuple(dict.fromkeys(clip.reason for clip in clips if clip.reason))
        if kept.methods:
            names = " and ".join(dict.fromkeys(f"`{method.name}`" for method in kept.methods if not method.foldable))
            notes += (f"no agent.zip: {names} in its networks cannot end as a stock network; load the bundle",)
        report = dataclasses.replace(report, notes=(*report.notes, *notes))
        report.write(folder.path)
        return report


def _identity_of(task: Task) -> Any:
    """Return what tells a task from others in a file: all of it, or its name where it is a callable."""
    return task.to_config() if isinstance(task.env, str) else task.describe()
