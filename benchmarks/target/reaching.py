"""Train until the agent returns what it should, in each kind of user's way, and time it without the measuring."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

import acclimate as ac
from acclimate.agents.agent import Agent
from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.seeds import SELECTION_SEED
from acclimate.planning.recipe import EvaluationPlan, Recipe
from acclimate.tasks.task import Task
from acclimate.training.callbacks.averaging import Averaging
from benchmarks.foundation.cases import Case
from benchmarks.foundation.rows import continued, fresh, load, now

POINTS = 50
"""Times that the agent is measured in a budget, where an update has changed it since."""
EPISODES = 10
"""Of a measurement, deterministic, of the same seeds each time and for all rows."""
HARDLY = EvaluationPlan(points=1, episodes=2, final_episodes=2)
"""What `finetune` measures by itself, as little as it can be: the measuring here takes its place."""


@dataclass(frozen=True)
class Point:
    """A measurement."""

    steps: int
    """Target steps, those of a probe included."""
    seconds: float
    """Of training, without those of measuring."""
    cpu: float
    """The same of the process's own clock, which other work on the machine moves less."""
    total: float
    """With those of measuring."""
    value: float
    """Mean return."""


class Reaching(BaseCallback):
    """Measures the agent now and then, and ends the training where it returns what it should."""

    def __init__(self, wanted: float, budget: int, measure: Callable[[Reaching], float]) -> None:
        """Start the clocks.

        Args:
            wanted: return that ends the training.
            budget: steps after which it ends otherwise.
            measure: returns the mean return now.
        """
        super().__init__()
        self.points: list[Point] = []
        self._wanted, self._every, self._measure = wanted, budget / POINTS, measure
        self._due, self._seen = self._every, 0
        self._begun, self._paused = self._clocks(), (0.0, 0.0)
        self._averaging: Averaging | None = None

    @property
    def reached(self) -> bool:
        """Whether the last measurement was enough."""
        return bool(self.points) and self.points[-1].value >= self._wanted

    @staticmethod
    def _clocks() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def _on_training_start(self) -> None:
        # SB3 gives `learn`'s own names to callbacks; a list of callbacks tells its members of no other.
        several = getattr(self.locals["callback"], "callbacks", ())
        self._averaging = next((one for one in several if isinstance(one, Averaging)), None)

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._due:
            self._look()
            self._due = self._every * (self.num_timesteps // self._every + 1)
        return not self.reached

    def _on_training_end(self) -> None:
        if not self.reached:
            self._look()

    def _look(self) -> None:
        updates = int(getattr(self.model, "_n_updates", 0))
        if updates == self._seen:
            return
        self._seen, (wall, cpu) = updates, self._clocks()
        value = self._measure(self)
        spent = [now - then for now, then in zip((wall, cpu), self._begun, strict=True)]
        seconds, used = (each - paused for each, paused in zip(spent, self._paused, strict=True))
        self.points.append(Point(self.num_timesteps, seconds, used, spent[0], value))
        after = self._clocks()
        self._paused = (self._paused[0] + after[0] - wall, self._paused[1] + after[1] - cpu)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the policy act by the weights that a run keeps: their average, where there is one."""
        averaging = self._averaging
        if averaging is not None:
            averaging.update()
        with averaging.shown() if averaging is not None else nullcontext():
            yield


@dataclass
class Cell:
    """How long one row took with one seed."""

    case: str
    row: str
    seed: int
    wanted: float
    """Return."""
    budget: int
    """Steps."""
    reached: bool = False
    curve: list[Point] = field(default_factory=list)
    """Its last is where the return was reached, or where the budget ended."""


def run(case: Case, row: str, seed: int, wanted: float, zoo: Path, folder: Path) -> Cell:
    """Train, and return the cell.

    Args:
        case: its steps are the budget.
        row: one of `ROWS`.
        seed: of the training.
        wanted: return that ends it.
        zoo: where the agents lie.
        folder: for what a run writes.
    """
    agent, source, target = load(case, zoo)

    def measure(reaching: Reaching) -> float:
        with reaching.shown():
            tuned = now(agent, reaching.model)
            return float(evaluate(tuned, target, episodes=EPISODES, seed=SELECTION_SEED).returns.mean())

    reaching = Reaching(wanted, case.steps, measure)
    before = ROWS[row](case, seed, agent, source, target, reaching, folder)
    curve = [dataclasses.replace(point, steps=point.steps + before) for point in reaching.points]
    return Cell(case.name, row, seed, wanted, case.steps, reaching.reached, curve)


def _ours(
    case: Case, seed: int, agent: Agent, source: Task, target: Task, reaching: Reaching, folder: Path, *, engine: Any
) -> int:
    """Train by `finetune`, and return the steps before training."""
    recipe = Recipe(steps=case.steps, seed=seed, engine=engine, evaluation=HARDLY)
    told = ac.finetune(agent, target, recipe, source=source, out=folder, callback=reaching, progress=False)
    return told.report.steps_charged - reaching.num_timesteps


def _continued(
    case: Case, seed: int, agent: Agent, source: Task, target: Task, reaching: Reaching, folder: Path, *, carry: bool
) -> int:
    model = continued(case, seed, agent, target, carry=carry)
    model.learn(case.steps, callback=reaching)
    return 0


def _fresh(case: Case, seed: int, agent: Agent, source: Task, target: Task, reaching: Reaching, folder: Path) -> int:
    model, steps = fresh(case, seed, agent, target)
    model.learn(steps, callback=reaching)
    return 0


CARRIED = "SB3 continued, normaliser carried"
ROWS: dict[str, Callable[..., int]] = {
    "acclimate": partial(_ours, engine="auto"),
    "acclimate, SB3's engine": partial(_ours, engine="sb3"),
    "SB3 continued": partial(_continued, carry=False),
    CARRIED: partial(_continued, carry=True),
    "SB3 from scratch": _fresh,
}
