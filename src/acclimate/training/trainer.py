"""Training: SB3's own loop on the warm-started model, with the methods in place and the callbacks around it."""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from acclimate.engine.choice import attach
from acclimate.errors import DivergenceError, TaskError
from acclimate.nets.copies import copied
from acclimate.planning.arguments import OFF_POLICY
from acclimate.sb3.prior_view import prior_view
from acclimate.seam.seam import Seam
from acclimate.training import checkpoint
from acclimate.training.callbacks.averaging import Averaging
from acclimate.training.callbacks.budget import Budget
from acclimate.training.callbacks.divergence import Finite, explain, is_finite, sees_finite
from acclimate.training.callbacks.given import as_list
from acclimate.training.callbacks.log import TrainingLog
from acclimate.training.callbacks.monitor import MonitorFile
from acclimate.training.callbacks.prefill import PriorFirst
from acclimate.training.callbacks.progress import ProgressBar
from acclimate.training.callbacks.saving import Saving
from acclimate.training.callbacks.selection import Point, Record, Selection, Snapshot, schedule
from acclimate.training.checkpoint import Checkpoint
from acclimate.training.job import Job, Trained, live_agent
from acclimate.training.provision import context, diagnosing
from acclimate.training.warm_start import save_vec_normalize, warm_start

__all__ = ["Job", "Trained", "train"]

CHECKPOINT_SECONDS = 20.0
COUNTERS = ("_n_updates", "_n_calls", "_episode_num")
"""What SB3 counts besides steps: on them depend delayed policy updates and copies to target networks."""


def train(job: Job, saved: Checkpoint | None = None) -> Trained:
    """Train, or go on training where a checkpoint stood.

    Raises:
        TaskError: The environment raised.
        SurgeryError: A method cannot be applied.
    """
    return _Training(job, saved).run()


@dataclass
class _Training:
    job: Job
    saved: Checkpoint | None
    record: Record = field(default_factory=Record)
    monitor: MonitorFile | None = None
    seconds_before: float = 0.0
    steps_before: int = 0

    def run(self) -> Trained:
        job, saved = self.job, self.saved
        self.steps_before = saved.progress["steps"] if saved else 0
        self.seconds_before = saved.progress["seconds"] if saved else 0.0
        self.started = warm_start(
            job.agent, job.task, job.recipe, job.plan, seed_offset=self.steps_before, probed=job.probed
        )
        if job.probed is not None:
            job.probed.clear()  # they are in the replay buffer now
        self.begun = time.perf_counter()
        self.start, self.updates = self.started.model.num_timesteps, self.started.model._n_updates
        with ExitStack() as opened:
            opened.callback(_close, self.started.model)
            self._reach()
            last, diverged = self._train(self._callbacks(opened))
        if diverged is None:
            self._save(trained=True)
        return Trained(
            started=self.started,
            seam=self.seam,
            record=self.record,
            last=last,
            steps=self.trained,
            seconds_before=self.seconds_before,
            log=self.log.values,
            signals=self.diagnosing.history,
            pretrained_returns=job.pretrained.returns,
            diverged=diverged,
            engine=self.engine,
        )

    def _reach(self) -> None:
        """Put the methods in place, as they stood where a checkpoint was taken."""
        job, model = self.job, self.started.model
        self.seam = Seam(
            model,
            job.method,
            context=context(job, self.started),
            total_steps=job.plan.steps,
            seen_as=prior_view(job.agent.normalizer, self.started.normalize),
        )
        if self.saved:
            self._restore(self.saved)
        self.engine = attach(self.seam, type(model), job.recipe.engine)
        if self.saved:
            job.say(f"resumed at step {self.steps_before} of {job.plan.steps}; the environments start new episodes")
        else:
            job.announce(self.started, self.seam, self.engine)

    def _train(self, callbacks: list[BaseCallback]) -> tuple[Snapshot | None, str | None]:
        """Learn and measure; return the end of it, and what went wrong."""
        model = self.started.model
        try:
            with self.seam:
                self._learn(model, callbacks)
                self._end()
                last = self._last()
                if last is None:
                    return None, explain(model.num_timesteps)
                if not self.record.points or self.record.points[-1].steps < last.steps:
                    self.selection.init_callback(model)
                    self.selection.num_timesteps = model.num_timesteps
                    self.selection.measure(last.policy)
                    model.logger.dump(model.num_timesteps)
                return last, None
        except DivergenceError as error:
            return self._last(), str(error)

    @property
    def trained(self) -> int:
        """Training steps taken, those of the runs that this one resumed included."""
        return self.started.model.num_timesteps - self.start

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.begun

    def _learn(self, model: BaseAlgorithm, callbacks: list[BaseCallback]) -> None:
        remaining = self.job.plan.steps - self.trained
        # A callback of the user's may have ended the training before its last step.
        if remaining <= 0 or (self.saved and self.saved.progress["trained"]):
            return
        try:
            model.learn(
                remaining,
                callback=[*callbacks, *as_list(self.job.callback)],
                reset_num_timesteps=False,
                log_interval=4 if self.job.plan.algorithm in OFF_POLICY else 1,
            )
        except ValueError as error:
            # torch's distributions refuse a NaN before any callback can see it.
            if is_finite(model) and sees_finite(model):
                raise
            raise DivergenceError(explain(model.num_timesteps)) from error
        except (EOFError, ConnectionError) as error:
            if self.job.recipe.vec_env != "subproc":
                raise
            raise TaskError(
                f"a process of the environment {self.job.task.describe()} ended at step {model.num_timesteps}: what it "
                "raised stands above; with vec_env dummy it is easier to find."
            ) from error

    def _end(self) -> None:
        """Let the methods have their last word on the weights that are kept: the average, where there is one."""
        ended = self.saved is not None and self.saved.progress["trained"]
        if ended or not is_finite(self.started.model) or not self.seam.tuner.finishes:
            return
        self.averaging.update()
        if self.averaging.decay:
            self.averaging.adopt()
        self.seam.finish()
        self.averaging.hold()

    def _last(self) -> Snapshot | None:
        model = self.started.model
        if not is_finite(model):
            return None
        steps = self.job.charged + self.trained
        self.averaging.update()
        with self.averaging.shown() if self.averaging.decay else nullcontext():
            return Snapshot(steps, copied(model.policy), save_vec_normalize(self.started.normalize))

    def _callbacks(self, opened: ExitStack) -> list[BaseCallback]:
        job, plan, model = self.job, self.job.plan, self.started.model
        logger = configure(str(job.folder.path), ["tensorboard"]) if job.folder else configure(None, [])
        opened.callback(logger.close)
        model.set_logger(logger)
        bar = ProgressBar(job.plan.steps, self.seam.drift, enabled=job.progress)
        opened.callback(bar.close)
        self.log = TrainingLog(self.saved.progress["log"] if self.saved else {})
        self.averaging = Averaging(plan.averaging)
        self.averaging.init_callback(model)
        if self.saved:
            self.averaging.load_state(self.saved.tensors["average"])
        self.selection = Selection(
            live=lambda: live_agent(self.started),
            shown=self.averaging.shown if plan.averaging else nullcontext,
            task=job.task,
            plan=job.recipe.evaluation,
            pretrained=job.pretrained,
            due=[step for step in schedule(job.plan.steps, job.recipe.evaluation) if step > self.trained],
            charged=job.charged,
            record=self.record,
            on_point=self._on_point,
        )
        self.selection.start = self.start
        callbacks: list[BaseCallback] = [Finite(), self.log]
        if plan.algorithm in OFF_POLICY:
            callbacks += [
                PriorFirst(plan.prior_steps, start=self.start, updates=self.updates),
                Budget(job.plan.steps - self.trained),
            ]
        if plan.averaging:
            callbacks.append(self.averaging)
        seen = self.saved.progress.get("signals") if self.saved else None
        self.diagnosing = diagnosing(job, self.started, self.seam, seen, self.log.values, lambda: self.trained)
        self.diagnosing.init_callback(model)
        opened.callback(self.diagnosing.release)
        callbacks += [self.diagnosing, self.selection, bar]
        if job.folder is not None:
            rows = self.saved.progress["monitor_rows"] if self.saved else None
            self.monitor = MonitorFile(job.folder.path / "monitor.csv", job.task.describe(), rows=rows)
            opened.callback(self.monitor.close)
            # A checkpoint holds what the others took in at the same step.
            callbacks += [self.monitor, Saving(self._save, CHECKPOINT_SECONDS)]
        return callbacks

    def _on_point(self, point: Point) -> None:
        logger = self.started.model.logger
        logger.record("eval/mean_reward", float(point.returns.mean()))
        logger.record("eval/mean_ep_length", float(point.lengths.mean()))
        self.diagnosing.look()

    def _save(self, trained: bool = False) -> None:
        if self.job.folder is None:
            return
        if self.monitor is not None and not trained:
            self.monitor.flush()
        model, record = self.started.model, self.record
        best = record.best
        progress = {
            "format": 1,
            "trained": trained,
            "steps": self.trained,
            "counters": {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)},
            "seconds": self.seconds,
            "monitor_rows": self.monitor.rows if self.monitor else 0,
            "best_lower": record.best_lower if np.isfinite(record.best_lower) else None,
            "points": [point.to_json() for point in record.points],
            "log": dict(self.log.values),
            "signals": self.diagnosing.history.to_json(),
        }
        tensors = {
            "normalizer": checkpoint.normalizer_state(save_vec_normalize(self.started.normalize)),
            "seam": self.seam.state_dict(),
            "random": checkpoint.random_state(),
            "average": self.averaging.state(),
            "best": None
            if best is None
            else {
                "steps": best.steps,
                "policy": best.policy,
                "normalizer": checkpoint.normalizer_state(best.normalizer),
            },
        }
        replay = None if trained else checkpoint.replay_state(model)
        checkpoint.write(Checkpoint(progress, tensors, replay), self.job.folder.path)

    def _restore(self, saved: Checkpoint) -> None:
        started, tensors = self.started, saved.tensors
        self.seam.load_state_dict(tensors["seam"])
        if started.normalize is not None:
            checkpoint.restore_normalizer(started.normalize, tensors["normalizer"])
        if saved.replay is not None:
            checkpoint.restore_replay(started.model, saved.replay)
        checkpoint.restore_random(tensors["random"])
        started.model.num_timesteps = self.start + self.steps_before
        for name, count in saved.progress["counters"].items():
            setattr(started.model, name, count)
        like = started.blueprint_agent.normalizer
        best = tensors["best"]
        self.record.points = [Point.from_json(point) for point in saved.progress["points"]]
        lower = saved.progress["best_lower"]
        self.record.best_lower = -np.inf if lower is None else float(lower)
        if best is not None:
            normalizer = checkpoint.read_normalizer(best["normalizer"], like)
            self.record.best = Snapshot(best["steps"], best["policy"], normalizer)


def _close(model: BaseAlgorithm) -> None:
    """Close the environments, also where a process of theirs has died."""
    try:
        model.env.close()  # type: ignore[union-attr]
    except (EOFError, ConnectionError):
        for process in model.env.unwrapped.processes:  # type: ignore[union-attr]
            process.terminate()
