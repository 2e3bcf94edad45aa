"""Training a baseline: SB3's `learn` on its own or on the fast engine, measured at equal points."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from acclimate.agents.agent import Agent
from acclimate.engine.choice import attach
from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.seeds import SELECTION_SEED
from acclimate.methods.full import Full
from acclimate.nets.copies import copied
from acclimate.sb3.counters import updates_of
from acclimate.sb3.normalizer import save_vec_normalize
from acclimate.seam.seam import Seam
from acclimate.studies.study import Study
from acclimate.tasks.task import Task
from acclimate.training.record import Snapshot


class Snapshots(BaseCallback):
    """Measures a model at equal points, and holds a copy of the best by its mean."""

    def __init__(self, due: list[int], measure: Callable[[], float]) -> None:
        super().__init__()
        self.due, self.measure = due, measure
        self.points: list[tuple[int, float]] = []
        self.seconds = 0.0
        """What measuring cost."""
        self.best: Snapshot | None = None
        self.before = 0

    def _on_training_start(self) -> None:
        self.before = updates_of(self.model)

    def _on_step(self) -> bool:
        # What no update has changed is the agent as it was.
        if self.due and self.num_timesteps >= self.due[0] and updates_of(self.model) > self.before:
            while self.due and self.num_timesteps >= self.due[0]:
                self.due.pop(0)
            self.look(self.num_timesteps)
        return True

    def look(self, steps: int) -> None:
        """Measure now."""
        begun = time.perf_counter()
        value = self.measure()
        self.seconds += time.perf_counter() - begun
        if all(value > other for _, other in self.points[1:]):
            policy = copied(self.model.policy)
            self.best = Snapshot(steps, policy, save_vec_normalize(self.model.get_vec_normalize_env()))
        self.points.append((steps, value))


@dataclass(frozen=True)
class Baseline:
    """A model that was trained."""

    agent: Agent
    model: BaseAlgorithm
    best: Snapshot
    last: Snapshot
    points: tuple[tuple[int, float], ...]
    learning: float
    """Seconds of `learn`, without those of measuring."""

    def shown(self, snapshot: Snapshot) -> Agent:
        """Return the agent of a snapshot, made of the model."""
        self.model.policy.load_state_dict(snapshot.policy)
        return self.agent.around(self.model, normalizer=snapshot.normalizer)


def train(agent: Agent, model: BaseAlgorithm, task: Task, steps: int, study: Study) -> Baseline:
    """Train a model and measure it; its environments are closed."""

    def measure() -> float:
        live = agent.around(model, normalizer=save_vec_normalize(model.get_vec_normalize_env()))
        found = evaluate(live, task, episodes=study.point_episodes, seed=SELECTION_SEED)
        return float(found.returns.mean())

    seen = Snapshots([round(steps * index / study.points) for index in range(1, study.points)], measure)
    seen.model = model
    with closing(model.env):  # type: ignore[type-var]
        seen.points.append((0, measure()))
        seam = Seam(model, Full(), total_steps=steps)
        attach(seam, type(model), study.engine)  # type: ignore[arg-type]
        with seam:
            begun, looked = time.perf_counter(), seen.seconds
            model.learn(steps, callback=seen)
            learning = time.perf_counter() - begun - (seen.seconds - looked)
        seam.fold()
        seen.look(model.num_timesteps)
    last = Snapshot(model.num_timesteps, copied(model.policy), save_vec_normalize(model.get_vec_normalize_env()))
    return Baseline(agent, model, seen.best or last, last, tuple(seen.points), learning)
