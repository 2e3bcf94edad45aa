"""Measure the agent while it trains, remember the best of it, and judge at the end whether it is kept."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from stable_baselines3.common.callbacks import BaseCallback

from acclimate.agents.agent import Agent
from acclimate.errors import DivergenceError
from acclimate.evaluation.evaluate import Point, evaluate
from acclimate.evaluation.seeds import SELECTION_SEED
from acclimate.nets.copies import copied
from acclimate.planning.recipe import EvaluationPlan
from acclimate.statistics.estimates import lower_bound
from acclimate.training.callbacks.divergence import explain, is_finite
from acclimate.training.clock import Clock
from acclimate.training.job import Job
from acclimate.training.record import Record, Snapshot

COLLAPSED = 3
"""Measurements in a row, each surely below the pretrained agent and none above the one before, that end a run."""


def schedule(steps: int, plan: EvaluationPlan) -> list[int]:
    """Return the training steps at which to measure; the end of training is measured apart."""
    if plan.freq is not None:
        return list(range(plan.freq, steps, plan.freq))
    return [round(steps * i / plan.points) for i in range(1, plan.points)]


class Selection(BaseCallback):
    """Evaluate at scheduled steps against the pretrained agent, episode by episode, and keep the best weights."""

    def __init__(
        self,
        job: Job,
        clock: Clock,
        record: Record,
        *,
        live: Callable[[], Agent],
        shown: Callable[[], AbstractContextManager[None]],
        on_point: Callable[[Point], None],
    ) -> None:
        """Prepare.

        Args:
            job: What is trained, and the untouched agent's episodes.
            clock: Of the model.
            record: What is known already; filled further.
            live: Gives the agent as it acts now.
            shown: A context in which the model acts by the weights that are to be judged.
            on_point: Called with each measurement.
        """
        super().__init__()
        self.job, self.clock, self.record = job, clock, record
        self.live, self.shown, self.on_point = live, shown, on_point
        plan = job.case.recipe.evaluation
        self.due = [step for step in schedule(job.plan.steps, plan) if step > clock.trained]
        """Training steps at which to measure."""
        self.seconds = 0.0
        """What measuring cost."""

    def _on_step(self) -> bool:
        trained = self.clock.trained
        if self.due and trained >= self.due[0] and self._has_place():
            while self.due and trained >= self.due[0]:
                self.due.pop(0)
            self.measure()
        return True

    def _has_place(self) -> bool:
        """Tell whether a world may be opened now: the only one that may be open is left between two episodes."""
        return not self.job.case.recipe.is_single or all(self.training_env.env_method("rest"))

    def measure(self, weights: dict[str, torch.Tensor] | None = None) -> Point:
        """Evaluate the agent now, and remember it if it is the best so far.

        Args:
            weights: A copy of those that are judged, where there is one already.

        Raises:
            DivergenceError: It has collapsed, or its weights are no numbers any more.
        """
        model, plan, begun = self.clock.model, self.job.case.recipe.evaluation, time.perf_counter()
        if not is_finite(model):
            raise DivergenceError(explain(model.num_timesteps))
        with self.shown():
            agent = self.live()
            found = evaluate(
                agent,
                self.job.case.task,
                episodes=plan.episodes,
                seed=SELECTION_SEED,
                n_envs=self.job.case.recipe.measuring_envs,
                deterministic=plan.deterministic,
            )
            point = Point(self.job.charged + self.clock.trained, found)
            self.record.points.append(point)
            lower, mean = lower_bound(found.returns - self.job.pretrained.returns), float(found.returns.mean())
            leads, highest = lower > self.record.best_lower, mean > self.record.highest_mean
            # The old ones go before a new one is copied.
            if leads:
                self.record.best_lower, self.record.best = lower, None
            if highest:
                self.record.highest_mean, self.record.highest = mean, None
            if leads or highest:
                kept = copied(model.policy) if weights is None else weights
                now = Snapshot(point.steps, kept, agent.normalizer)
                self.record.best = now if leads else self.record.best
                self.record.highest = now if highest else self.record.highest
        self.seconds += time.perf_counter() - begun
        self.on_point(point)
        self._check_collapse()
        return point

    def _check_collapse(self) -> None:
        tail = self.record.points[-COLLAPSED:]
        if len(tail) < COLLAPSED or not self.due:
            return
        untouched = self.job.pretrained.returns
        below = all(lower_bound(untouched - point.evaluation.returns, errors=3.0) > 0 for point in tail)
        means = [float(point.evaluation.returns.mean()) for point in tail]
        if below and all(after <= before for before, after in itertools.pairwise(means)):
            raise DivergenceError(
                f"training collapsed: at step {tail[-1].steps} the return is {means[-1]:.4g}, {COLLAPSED} measurements "
                f"in a row below the pretrained agent's {untouched.mean():.4g} and falling. The last "
                "good agent was saved; try a lower warm_start.learning_rate or a stronger warm_start.tie."
            )
