"""One cell, run from nothing to its numbers: what was half done before is thrown away, so that it ends the same."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError
from acclimate.evaluation.evaluate import Evaluation, evaluate, evaluate_constant, evaluate_random
from acclimate.evaluation.seeds import SELECTION_SEED
from acclimate.planning.case import Case as RunCase
from acclimate.planning.plan import make_plan
from acclimate.planning.probe import Situation
from acclimate.reports.missing import Missing
from acclimate.reports.report import Report
from acclimate.runs.finetune import fitted, tune
from acclimate.runs.folder import RunFolder
from acclimate.studies import baselines
from acclimate.studies.cell import Cell, Key, Played, Steps
from acclimate.studies.counting import Ledger
from acclimate.studies.origin import Origins
from acclimate.studies.study import UNTRAINED, Case, Row, Study
from acclimate.studies.training import train
from acclimate.tasks.task import Task
from acclimate.training.job import Listeners, Trained

MOST_CONSTANTS = 64
"""Actions among which the best constant is looked for."""
RUN = "run"


@dataclass
class Bench:
    """A cell's agent and worlds, which count what is asked of them."""

    study: Study
    case: Case
    agent: Agent
    target: Task
    source: Task | None
    ledger: Ledger = field(default_factory=Ledger)

    @classmethod
    def of(cls, study: Study, case: Case, *, trust: bool) -> Bench:
        """Load the agent and fit the worlds to it."""
        agent, ledger = case.loaded(trust=trust), Ledger()
        target, source = fitted(agent, case.task, case.home)
        over = None if source is None else ledger.over("source", source)
        bench = cls(study, case, agent, ledger.over("target", target), over, ledger)
        for task in (bench.target, bench.source):
            _ = task and task.observation_space  # whether its shifts take effect is looked at now, and is no row's
        ledger.steps.clear()
        return bench

    @property
    def steps(self) -> int:
        """Target steps of a row that trains."""
        return self.case.steps or self.study.steps

    def played(self, play: Callable[[Task], Evaluation], steps: int) -> Played:
        """Play the final episodes in each world."""
        home = None if self.source is None else tuple(play(self.source).returns.tolist())
        return Played(steps=steps, target=tuple(play(self.target).returns.tolist()), source=home)

    def final(self, agent: Agent, steps: int) -> Played:
        """Play an agent's."""
        return self.played(lambda task: evaluate(agent, task, episodes=self.study.episodes), steps)

    def counted(self, *, training: int = 0, probing: int = 0, methods: int = 0, methods_source: int = 0) -> Steps:
        """Return all steps that were taken; what was for nothing else has measured."""
        taken = self.ledger.steps
        return Steps(
            training=training,
            probing=probing,
            methods=methods,
            methods_source=methods_source,
            measuring=taken["target"] - training - probing - methods,
            measuring_source=taken["source"] - methods_source,
        )


def run_cell(study: Study, key: Key, folder: Path, *, trust: bool = False) -> Cell:
    """Run a cell in its folder, and return it; nothing of an earlier try is used.

    Raises:
        AcclimateError: The agent, the world or the row cannot do it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    case = study.case(key.case)
    begun, bench, row = time.perf_counter(), Bench.of(study, case, trust=trust), study.row(key.row)
    if row is not None:
        cell = _ours(bench, row, key, folder)
    elif key.row in baselines.WAYS:
        cell = _baseline(bench, key)
    elif key.row in UNTRAINED:
        cell = _untrained(bench, key)
    else:
        raise ConfigError(f"the study has no row `{key.row}`")
    cell = replace(cell, seconds=time.perf_counter() - begun, of=Origins(study, trust=trust).of(key))
    cell.write(folder)
    return cell


def _untrained(bench: Bench, key: Key) -> Cell:
    episodes, notes = bench.study.episodes, ()
    if key.row == "as it is":
        played = bench.final(bench.agent, 0)
    elif key.row == "random":
        played = bench.played(lambda task: evaluate_random(task, episodes=episodes), 0)
    else:
        action, notes = _nothing(bench)
        played = bench.played(lambda task: evaluate_constant(task, action, episodes=episodes), 0)
    return Cell(case=key.case, row=key.row, seed=key.seed, last=played, steps=bench.counted(), notes=notes)


def _nothing(bench: Bench) -> tuple[Any, tuple[str, ...]]:
    """Return what doing nothing is: zeros within the bounds, or the constant that returns most of a few."""
    space = bench.target.action_space
    if isinstance(space, Box):
        return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high), ("zeros, within the bounds",)
    if not isinstance(space, Discrete):
        return np.zeros(space.shape, space.dtype), ("zeros",)
    if space.n > MOST_CONSTANTS:
        raise ConfigError(f"{space.n} actions are too many to look for the best constant")
    episodes, found = bench.study.point_episodes, {}
    for action in range(int(space.n)):
        played = evaluate_constant(bench.target, action, episodes=episodes, seed=SELECTION_SEED)
        found[action] = float(played.returns.mean())
    best = max(found, key=found.__getitem__)
    return best, (f"action {best}, the best constant of {episodes} episodes",)


def _baseline(bench: Bench, key: Key) -> Cell:
    ways = baselines.way(key.row, bench.agent, bench.case.saved)
    model = baselines.model_of(bench.agent, bench.target, ways, key.seed)
    steps = baselines.budget(bench.agent, ways, bench.steps)
    trained = train(bench.agent, model, bench.target, steps, bench.study)
    last = bench.final(trained.shown(trained.last), trained.last.steps)
    same = trained.best.steps == trained.last.steps
    best = last if same else bench.final(trained.shown(trained.best), trained.best.steps)
    return Cell(
        case=key.case,
        row=key.row,
        seed=key.seed,
        last=last,
        best=best,
        curve=trained.points,
        steps=bench.counted(training=trained.last.steps),
        learning=trained.learning,
        notes=ways.notes,
    )


def _ours(bench: Bench, row: Row, key: Key, folder: Path) -> Cell:
    recipe, held, missing = bench.study.recipe(row, bench.case, key.seed), {}, Missing()
    case = RunCase(bench.agent, bench.target, bench.source, recipe)
    # What cannot be tuned is refused before anything is played.
    make_plan(bench.agent, recipe, Situation(), home=bench.source is not None)

    def ended(trained: Trained) -> None:
        highest = trained.record.highest
        last = trained.last
        held["trained"] = trained
        if highest is not None and (last is None or highest.steps != last.steps):
            held["best"] = bench.final(trained.show(highest), highest.steps)

    listeners = Listeners(progress=False, ended=ended)
    with RunFolder(folder / RUN).claimed(recipe, case.identity(), resume=False) as run:
        _, report = tune(case, listeners, run.path, missing, resume=False)
    report.write(folder / RUN, missing)
    shutil.rmtree(folder / RUN / "checkpoint", ignore_errors=True)
    trained = held["trained"]
    last, kept = _ends(report)
    context = trained.seam.tuner.context
    steps = bench.counted(
        training=trained.steps,
        probing=trained.job.charged,
        methods=context.charged - context.charged_source,
        methods_source=int(report.situation.get("source_steps") or 0) + context.charged_source,
    )
    return Cell(
        case=key.case,
        row=key.row,
        seed=key.seed,
        last=last,
        best=held.get("best", last),
        kept=kept,
        kept_tuned=report.kept == "tuned",
        curve=tuple((point.steps, float(point.evaluation.returns.mean())) for point in report.curve),
        steps=steps,
        learning=trained.seconds_learning,
        notes=(trained.diverged,) if trained.diverged else (),
        report=True,
    )


def _ends(report: Report) -> tuple[Played, Played]:
    """Return what the end of training played, the agent as it was where there is none, and what the kept agent did."""
    target, source = report.target, report.source
    end, home = target.last or target.before, None if source is None else source.last or source.before
    last = Played(
        steps=report.steps_charged if target.last else 0,
        target=tuple(end.returns.tolist()),
        source=None if home is None else tuple(home.returns.tolist()),
    )
    kept = Played(
        steps=report.steps_charged,
        target=tuple(target.after.returns.tolist()),
        source=None if source is None else tuple(source.after.returns.tolist()),
    )
    return last, kept
