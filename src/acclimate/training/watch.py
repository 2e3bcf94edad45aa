"""What looks on while a model learns: the callbacks of a run, together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from acclimate.evaluation.evaluate import Point
from acclimate.sb3.vocabulary import OFF_POLICY
from acclimate.training.callbacks.averaging import Averaging
from acclimate.training.callbacks.budget import Budget
from acclimate.training.callbacks.diagnosing import Diagnosing, diagnosing
from acclimate.training.callbacks.divergence import Finite
from acclimate.training.callbacks.given import as_list
from acclimate.training.callbacks.log import TrainingLog
from acclimate.training.callbacks.monitor import MonitorFile
from acclimate.training.callbacks.prefill import PriorFirst
from acclimate.training.callbacks.progress import ProgressBar
from acclimate.training.callbacks.saving import Saving
from acclimate.training.callbacks.selection import Selection
from acclimate.training.checkpoint import Checkpoint, damaged
from acclimate.training.ready import Ready

CHECKPOINT_SECONDS = 20.0


@dataclass(frozen=True)
class Watch:
    """Those that are asked something later, and the progress bar."""

    log: TrainingLog
    averaging: Averaging
    diagnosing: Diagnosing
    selection: Selection
    bar: ProgressBar
    monitor: MonitorFile | None


def watch(ready: Ready, saved: Checkpoint | None, opened: ExitStack) -> Watch:
    """Make what looks on, as it stood where a checkpoint was taken.

    Args:
        ready: what learns.
        saved: the checkpoint of a run that is resumed.
        opened: closes, at its end, what is opened here.
    """
    job, model, folder = ready.job, ready.started.model, ready.job.folder
    logger = configure(str(folder), ["tensorboard"]) if folder else configure(None, [])
    opened.callback(logger.close)
    model.set_logger(logger)
    bar = ProgressBar(job.plan.steps, ready.seam.drift, enabled=job.listeners.progress)
    opened.callback(bar.close)
    log = TrainingLog(saved.progress["log"] if saved else {})
    averaging = Averaging(job.plan.averaging)
    averaging.init_callback(model)
    if saved and not saved.progress.get("lost"):
        with damaged(folder):
            averaging.load_state(saved.tensors["average"])
    seen = saved.progress.get("signals") if saved else None
    looks = diagnosing(job, ready.started, ready.seam, seen, log.values, lambda: ready.clock.trained)
    looks.init_callback(model)
    if saved and saved.progress.get("unread"):
        looks.load_state(saved.progress["unread"])
    opened.callback(looks.release)

    def measured(point: Point) -> None:
        logger.record("eval/mean_reward", float(point.evaluation.returns.mean()))
        if point.evaluation.success is not None:
            logger.record("eval/success_rate", point.evaluation.success.value)
        logger.record("eval/mean_ep_length", float(point.evaluation.lengths.mean()))
        looks.look()

    selection = Selection(
        job,
        ready.clock,
        ready.record,
        live=ready.started.live,
        shown=averaging.shown if job.plan.averaging else nullcontext,
        on_point=measured,
    )
    monitor = None
    if folder is not None:
        rows = saved.progress["monitor_rows"] if saved else None
        monitor = MonitorFile(folder / "monitor.csv", job.case.task.describe(), rows=rows)
        opened.callback(monitor.close)
    return Watch(log, averaging, looks, selection, bar, monitor)


def callbacks(ready: Ready, seen: Watch, save: Callable[[], None]) -> list[BaseCallback]:
    """Return all callbacks of a run in their order, the user's last.

    Args:
        ready: what learns.
        seen: what looks on.
        save: writes a checkpoint.
    """
    job, plan, clock = ready.job, ready.job.plan, ready.clock
    found: list[BaseCallback] = [Finite(), seen.log]
    if plan.algorithm in OFF_POLICY:
        prior = PriorFirst(plan.prior_steps, start=clock.start, updates=clock.updates)
        found += [prior, Budget(plan.steps - clock.trained)]
    if plan.averaging:
        found.append(seen.averaging)
    found += [seen.diagnosing, seen.selection, seen.bar]
    if seen.monitor is not None:
        # A checkpoint holds what the others took in at the same step.
        found += [seen.monitor, Saving(save, CHECKPOINT_SECONDS)]
    return [*found, *as_list(job.listeners.callback)]
