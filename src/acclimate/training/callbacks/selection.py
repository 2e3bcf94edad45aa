"""Measure the agent while it trains, remember the best of it, and judge at the end whether it is kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from acclimate.agents.agent import Agent
from acclimate.errors import DivergenceError
from acclimate.evaluation.evaluate import Evaluation, evaluate
from acclimate.nets.copies import copied
from acclimate.planning.recipe import SELECTION_SEED, EvaluationPlan
from acclimate.sb3.normalizer import Normalizer
from acclimate.tasks.task import Task
from acclimate.training.callbacks.divergence import explain, is_finite

COLLAPSED = 3
"""Measurements in a row, each surely below the pretrained agent and none above the one before, that end a run."""


@dataclass(frozen=True)
class Point:
    """One measurement during training."""

    steps: int
    """Target steps charged so far."""
    returns: NDArray[np.float64]
    """Return of each episode, in the order of the selection seeds."""
    lengths: NDArray[np.int64]
    """Steps of each episode."""
    lower: float
    """Lower confidence bound of the gain over the pretrained agent."""

    def to_json(self) -> dict[str, Any]:
        """Return the measurement as JSON-able data."""
        return {
            "steps": self.steps,
            "returns": self.returns.tolist(),
            "lengths": self.lengths.tolist(),
            "lower": self.lower if np.isfinite(self.lower) else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Point:
        """Read a measurement that `to_json` returned."""
        lower = -np.inf if data["lower"] is None else float(data["lower"])
        return cls(data["steps"], np.asarray(data["returns"]), np.asarray(data["lengths"]), lower)


@dataclass
class Snapshot:
    """A copy of everything that decides how the agent acts."""

    steps: int
    policy: dict[str, torch.Tensor]
    normalizer: Normalizer | None


@dataclass
class Record:
    """What selection knows; a checkpoint holds it."""

    points: list[Point] = field(default_factory=list)
    best: Snapshot | None = None
    best_lower: float = -np.inf


def lower_bound(differences: NDArray[np.float64], errors: float = 1.0) -> float:
    """Return the mean of paired differences less some standard errors; minus infinity for fewer than two."""
    if len(differences) < 2:
        return -np.inf
    spread = float(np.std(differences, ddof=1)) / np.sqrt(len(differences))
    return float(differences.mean()) - errors * spread


def schedule(steps: int, plan: EvaluationPlan) -> list[int]:
    """Return the training steps at which to measure; the end of training is measured apart."""
    if plan.freq is not None:
        return list(range(plan.freq, steps, plan.freq))
    return [round(steps * i / plan.points) for i in range(1, plan.points)]


class Selection(BaseCallback):
    """Evaluate at scheduled steps against the pretrained agent, episode by episode, and keep the best weights."""

    def __init__(
        self,
        *,
        live: Callable[[], Agent],
        shown: Callable[[], AbstractContextManager[None]],
        task: Task,
        plan: EvaluationPlan,
        pretrained: Evaluation,
        due: list[int],
        charged: int,
        record: Record,
        on_point: Callable[[Point], None],
    ) -> None:
        """Prepare.

        Args:
            live: Gives the agent as it acts now.
            shown: A context in which the model acts by the weights that are to be judged.
            task: Where it is measured.
            plan: How.
            pretrained: The untouched agent's episodes on the selection seeds.
            due: Training steps at which to measure.
            charged: Target steps spent before training, added to every point.
            record: What is known already; filled further.
            on_point: Called with each measurement.
        """
        super().__init__()
        self.live, self.shown, self.task, self.plan = live, shown, task, plan
        self.pretrained, self.due, self.charged, self.record = pretrained, due, charged, record
        self.on_point = on_point
        self.start = 0

    @property
    def trained(self) -> int:
        """Training steps taken."""
        return self.num_timesteps - self.start

    def _on_step(self) -> bool:
        if self.due and self.trained >= self.due[0]:
            while self.due and self.trained >= self.due[0]:
                self.due.pop(0)
            self.measure()
        return True

    def measure(self, weights: dict[str, torch.Tensor] | None = None) -> Point:
        """Evaluate the agent now, and remember it if it is the best so far.

        Args:
            weights: A copy of those that are judged, where there is one already.

        Raises:
            DivergenceError: It has collapsed, or its weights are no numbers any more.
        """
        plan = self.plan
        if not is_finite(self.model):
            raise DivergenceError(explain(self.num_timesteps))
        with self.shown():
            agent = self.live()
            found = evaluate(
                agent,
                self.task,
                episodes=plan.episodes,
                seed=SELECTION_SEED,
                n_envs=plan.n_envs,
                deterministic=plan.deterministic,
            )
            lower = lower_bound(found.returns - self.pretrained.returns)
            point = Point(self.charged + self.trained, found.returns, found.lengths, lower)
            self.record.points.append(point)
            if lower > self.record.best_lower:
                # The old one goes before the new one is copied.
                self.record.best_lower, self.record.best = lower, None
                kept = copied(self.model.policy) if weights is None else weights
                self.record.best = Snapshot(point.steps, kept, agent.normalizer)
        self.on_point(point)
        self._check_collapse()
        return point

    def _check_collapse(self) -> None:
        tail = self.record.points[-COLLAPSED:]
        if len(tail) < COLLAPSED or not self.due:
            return
        below = all(lower_bound(self.pretrained.returns - point.returns, errors=3.0) > 0 for point in tail)
        means = [float(point.returns.mean()) for point in tail]
        if below and all(after <= before for before, after in itertools.pairwise(means)):
            raise DivergenceError(
                f"training collapsed: at step {tail[-1].steps} the return is {means[-1]:.4g}, {COLLAPSED} measurements "
                f"in a row below the pretrained agent's {self.pretrained.returns.mean():.4g} and falling. The last "
                "good agent was saved; try a lower warm_start.learning_rate or a stronger warm_start.tie."
            )
