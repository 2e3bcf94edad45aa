"""Training: SB3's own loop on the warm-started model, with the methods in place and the callbacks around it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger, configure
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.vec_env import VecNormalize

from acclimate import checkpoint
from acclimate.agent import Agent
from acclimate.callbacks.averaging import Averaging
from acclimate.callbacks.divergence import Finite, explain, is_finite
from acclimate.callbacks.log import TrainingLog
from acclimate.callbacks.monitor import MonitorFile
from acclimate.callbacks.prefill import PriorFirst
from acclimate.callbacks.progress import ProgressBar
from acclimate.callbacks.saving import Saving
from acclimate.callbacks.selection import Point, Record, Selection, Snapshot, clone, schedule
from acclimate.checkpoint import Checkpoint
from acclimate.errors import DivergenceError
from acclimate.evaluate import Evaluation
from acclimate.folder import RunFolder
from acclimate.method import Context, Method, chain
from acclimate.methods.kl import KLToPrior
from acclimate.normalizer import Normalizer
from acclimate.plan import OFF_POLICY, Plan
from acclimate.recipe import PROBE_SEED, Recipe
from acclimate.rollouts import collect
from acclimate.schedule import Linear
from acclimate.seam import Seam
from acclimate.task import Task
from acclimate.warmstart import WarmStarted, save_vec_normalize, warm_start

CHECKPOINT_SECONDS = 20.0
METHOD_SEED = PROBE_SEED + 5_000
TIE_FRACTION = 0.5
"""Share of the run over which the automatic tie to the prior fades."""


@dataclass(frozen=True)
class Job:
    """What is trained, where, how, and against what it is measured."""

    agent: Agent
    task: Task
    source: Task | None
    recipe: Recipe
    plan: Plan
    pretrained: Evaluation
    """The untouched agent's episodes on the selection seeds."""
    charged: int
    """Target steps spent before training."""
    folder: RunFolder | None = None
    callback: MaybeCallback = None
    progress: bool = True
    say: Callable[[str], None] = print

    @property
    def method(self) -> Method:
        """The recipe's methods, and the tie to the prior that the plan chose."""
        tie = [KLToPrior(weight=Linear(self.plan.tie, 0.0, TIE_FRACTION))] if self.plan.tie > 0 else []
        return chain(*self.recipe.methods, *tie)


@dataclass
class Trained:
    """A model at the end of training, its methods still in place."""

    started: WarmStarted
    seam: Seam
    record: Record
    last: Snapshot | None
    """None where the end of training is not finite."""
    steps: int
    """Training steps taken."""
    seconds_before: float
    """Of the runs that this one resumed."""
    log: Mapping[str, list[float]]
    kl: float | None
    pretrained_mean: float
    """Mean return of the untouched agent on the selection seeds."""
    diverged: str | None = None

    def live(self) -> Agent:
        """Return the agent as the model acts now."""
        return live_agent(self.started)

    def show(self, snapshot: Snapshot) -> Agent:
        """Make the model act as it did at a snapshot, and return it as an agent."""
        self.started.model.policy.load_state_dict(snapshot.policy, strict=True)
        prior = self.started.blueprint_agent
        return Agent(prior.blueprint, self.started.model, snapshot.normalizer, prior.origin)


def live_agent(started: WarmStarted) -> Agent:
    """Return the model in training as an agent, with a copy of its normaliser as it stands."""
    prior = started.blueprint_agent
    return Agent(prior.blueprint, started.model, save_vec_normalize(started.normalize), prior.origin)


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
    seconds_before: float = 0.0
    steps_before: int = 0

    def run(self) -> Trained:
        job, saved = self.job, self.saved
        self.steps_before = saved.progress["steps"] if saved else 0
        self.seconds_before = saved.progress["seconds"] if saved else 0.0
        plan = dataclasses.replace(job.plan, prior_steps=max(0, job.plan.prior_steps - self.steps_before))
        self.started = warm_start(job.agent, job.task, job.recipe, plan, seed_offset=self.steps_before)
        model = self.started.model
        self.start = model.num_timesteps
        self.begun = time.perf_counter()
        logger = self._logger()
        model.set_logger(logger)
        seam = Seam(
            model,
            job.method,
            context=self._context(),
            total_steps=job.plan.steps,
            seen_as=prior_view(job.agent.normalizer, self.started.normalize, model),
        )
        self.seam = seam
        if saved:
            self._restore(saved)
            job.say(f"resumed at step {self.steps_before} of {plan.steps}; the environments start new episodes")
        else:
            _announce(self.started, plan, seam, job.say)
        callbacks = self._callbacks(plan)
        diverged = None
        try:
            with seam:
                self._learn(model, callbacks)
                last = self._last()
                if last is None:
                    diverged = explain(model.num_timesteps)
                elif not self.record.points or self.record.points[-1].steps < last.steps:
                    self.selection.num_timesteps = model.num_timesteps
                    self.selection.measure()
        except DivergenceError as error:
            diverged = str(error)
            last = self._last()
        finally:
            self.bar.close()
            if self.monitor is not None:
                self.monitor.close()
            logger.close()
            if model.env is not None:
                model.env.close()
        if diverged is None:
            self._save(trained=True)
        return Trained(
            started=self.started,
            seam=seam,
            record=self.record,
            last=last,
            steps=model.num_timesteps - self.start,
            seconds_before=self.seconds_before,
            log=self.log.values,
            kl=seam.drift(),
            pretrained_mean=float(job.pretrained.returns.mean()),
            diverged=diverged,
        )

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.begun

    def _learn(self, model: BaseAlgorithm, callbacks: list[BaseCallback]) -> None:
        remaining = self.job.plan.steps - (model.num_timesteps - self.start)
        if remaining <= 0:
            return
        extra = self.job.callback
        extras = [] if extra is None else extra if isinstance(extra, list) else [extra]
        try:
            model.learn(
                remaining,
                callback=[*callbacks, *extras],  # type: ignore[list-item]
                reset_num_timesteps=False,
                log_interval=4 if self.job.plan.algorithm in OFF_POLICY else 1,
            )
        except ValueError as error:
            # torch's distributions refuse a NaN before any callback can see it.
            if is_finite(model):
                raise
            raise DivergenceError(explain(model.num_timesteps)) from error

    def _last(self) -> Snapshot | None:
        model = self.started.model
        if not is_finite(model):
            return None
        steps = self.job.charged + model.num_timesteps - self.start
        self.averaging.update()
        with self.averaging.shown() if self.averaging.decay else nullcontext():
            return Snapshot(steps, clone(model.policy), save_vec_normalize(self.started.normalize))

    def _logger(self) -> Logger:
        folder = self.job.folder
        return configure(None if folder is None else str(folder.path), [] if folder is None else ["tensorboard"])

    def _context(self) -> Context:
        job = self.job
        source = job.source

        def rollouts(task: Task) -> Any:
            return lambda steps: collect(self.started.blueprint_agent, task, steps, seed=METHOD_SEED)

        return Context(
            source=None if source is None else rollouts(source), target=rollouts(job.task), seed=job.recipe.seed
        )

    def _callbacks(self, plan: Plan) -> list[BaseCallback]:
        job, model = self.job, self.started.model
        self.bar = ProgressBar(job.plan.steps, self.seam.drift, enabled=job.progress)
        self.log = TrainingLog()
        self.averaging = Averaging(plan.averaging)
        self.averaging.init_callback(model)
        if self.saved and self.saved.tensors["average"]:
            self.averaging.average = self.saved.tensors["average"]
        taken = model.num_timesteps - self.start
        self.selection = Selection(
            live=lambda: live_agent(self.started),
            shown=self.averaging.shown if plan.averaging else nullcontext,
            task=job.task,
            plan=job.recipe.evaluation,
            pretrained=job.pretrained,
            due=[step for step in schedule(job.plan.steps, job.recipe.evaluation) if step > taken],
            charged=job.charged,
            record=self.record,
            on_point=self._on_point,
        )
        self.selection.start = self.start
        callbacks: list[BaseCallback] = [Finite(), self.log]
        if plan.algorithm in OFF_POLICY:
            callbacks.append(PriorFirst(plan.prior_steps))
        self.monitor = None
        if job.folder is not None:
            rows = self.saved.progress["monitor_rows"] if self.saved else None
            self.monitor = MonitorFile(job.folder.path / "monitor.csv", job.task.describe(), rows=rows)
            callbacks += [self.monitor, Saving(self._save, CHECKPOINT_SECONDS)]
        return (
            [*callbacks, self.averaging, self.selection, self.bar]
            if plan.averaging
            else [*callbacks, self.selection, self.bar]
        )

    def _on_point(self, point: Point) -> None:
        logger = self.started.model.logger
        logger.record("eval/mean_reward", float(point.returns.mean()))
        logger.record("eval/mean_ep_length", float(point.lengths.mean()))

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
            "steps": model.num_timesteps - self.start,
            "seconds": self.seconds,
            "monitor_rows": self.monitor.rows if self.monitor else 0,
            "best_lower": record.best_lower if np.isfinite(record.best_lower) else None,
            "points": [_point_out(p) for p in record.points],
            "log": dict(self.log.values),
        }
        tensors = {
            "normalizer": checkpoint.normalizer_state(save_vec_normalize(self.started.normalize)),
            "seam": self.seam.state_dict(),
            "random": checkpoint.random_state(),
            "average": self.averaging.average,
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
        like = started.blueprint_agent.normalizer
        best = tensors["best"]
        self.record.points = [_point_in(p) for p in saved.progress["points"]]
        lower = saved.progress["best_lower"]
        self.record.best_lower = -np.inf if lower is None else float(lower)
        if best is not None:
            normalizer = _read(best["normalizer"], like)
            self.record.best = Snapshot(best["steps"], best["policy"], normalizer)


def _announce(started: WarmStarted, plan: Plan, seam: Seam, say: Callable[[str], None]) -> None:
    """Say what was carried over, what was reset and what was decided, before the first step."""
    say("carried over")
    for what, how in started.carried:
        say(f"  {what:<26} {how}")
    say("reset")
    for what, how in started.reset:
        say(f"  {what:<26} {how}")
    say("decided")
    for what, value, why in plan.why():
        say(f"  {what:<26} {value:<8} {why}")
    say(f"training {seam.trainable_parameters:,} of {seam.total_parameters:,} parameters for {plan.steps:,} steps")


def _read(state: dict[str, Any] | None, like: Normalizer | None) -> Normalizer | None:
    return checkpoint.read_normalizer(state, like)


def _point_out(point: Point) -> dict[str, Any]:
    lower = point.lower if np.isfinite(point.lower) else None
    return {
        "steps": point.steps,
        "returns": point.returns.tolist(),
        "lengths": point.lengths.tolist(),
        "lower": lower,
    }


def _point_in(data: Mapping[str, Any]) -> Point:
    lower = data["lower"]
    return Point(
        int(data["steps"]),
        np.asarray(data["returns"], dtype=np.float64),
        np.asarray(data["lengths"], dtype=np.int64),
        -np.inf if lower is None else float(lower),
    )


def prior_view(
    prior: Normalizer | None, now: VecNormalize | None, model: BaseAlgorithm
) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Return what turns observations as scaled now into what the pretrained networks would have read.

    The statistics move while the agent trains; its prior was trained under those of the file. None where nothing moves.
    """
    if prior is None or now is None or not now.norm_obs or isinstance(prior.obs_mean, dict):
        return None
    own_std = torch.as_tensor(np.sqrt(prior.obs_var + prior.epsilon), dtype=torch.float32, device=model.device)
    own_mean = torch.as_tensor(prior.obs_mean, dtype=torch.float32, device=model.device)

    def seen(observations: torch.Tensor) -> torch.Tensor:
        rms = now.obs_rms
        std = torch.as_tensor(np.sqrt(rms.var + now.epsilon), dtype=torch.float32, device=model.device)
        mean = torch.as_tensor(rms.mean, dtype=torch.float32, device=model.device)
        raw_in_own_units = (observations * std + (mean - own_mean)) / own_std
        return raw_in_own_units.clamp(-prior.clip_obs, prior.clip_obs)

    return seen
