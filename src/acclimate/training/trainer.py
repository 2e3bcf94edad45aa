"""Training: SB3's own loop on the warm-started model, with the methods in place and the callbacks around it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.engine.choice import attach
from acclimate.errors import DivergenceError, TaskError
from acclimate.evaluation.evaluate import measured
from acclimate.nets.copies import copied
from acclimate.sb3.normalizer import save_vec_normalize
from acclimate.sb3.vocabulary import OFF_POLICY
from acclimate.training import checkpoint
from acclimate.training.callbacks.divergence import explain, is_finite, sees_finite
from acclimate.training.checkpoint import Checkpoint
from acclimate.training.clock import Clock
from acclimate.training.job import Job, Trained
from acclimate.training.ready import Ready
from acclimate.training.record import Snapshot
from acclimate.training.resume import checked, restore, state_of
from acclimate.training.warm_start import warm_start
from acclimate.training.watch import Watch, callbacks, watch


def train(job: Job, saved: Checkpoint | None = None) -> Trained:
    """Train, or go on training where a checkpoint stood.

    Raises:
        TaskError: The environment raised.
        SurgeryError: A method cannot be applied.
        SourceError: The checkpoint is damaged, or of another run.
    """
    offset = checked(saved, job) if saved else 0
    started = warm_start(job.case, job.plan, seed_offset=offset, probed=job.probed)
    if job.probed is not None:
        job.probed.clear()  # they are in the replay buffer now
    clock = Clock.of(started.model, saved)
    with ExitStack() as opened:
        opened.callback(_close, started.model)
        ready = Ready.of(job, started, clock)
        if saved:
            with checkpoint.damaged(job.folder):
                restore(ready, saved)
        engine = attach(ready.seam, type(started.model), job.case.recipe.engine)
        if saved:
            job.listeners.say(f"resumed at step {offset} of {job.plan.steps}; the environments start new episodes")
        else:
            job.announce(started, ready.seam, engine)
        seen = watch(ready, saved, opened)
        last, diverged = _learnt(ready, seen, {} if saved is None else saved.progress)
    return Trained(
        job=job,
        started=started,
        seam=ready.seam,
        record=ready.record,
        last=last,
        steps=clock.trained,
        steps_measured=measured(ready.record.points) + seen.diagnosing.steps,
        resumed=clock.resumed,
        seconds_before=clock.seconds_before,
        seconds_learning=clock.seconds - clock.seconds_before - seen.selection.seconds - seen.diagnosing.seconds,
        log=seen.log.values,
        signals=seen.diagnosing.history,
        engine=engine,
        trainable_parameters=ready.seam.trainable_parameters,
        total_parameters=ready.seam.total_parameters,
        diverged=diverged,
    )


def _learnt(ready: Ready, seen: Watch, stood: Mapping[str, Any]) -> tuple[Snapshot | None, str | None]:
    """Learn and measure; return the end of it, and what went wrong.

    Each stage is saved before the next one plays episodes: what an environment raises there costs no training.

    Args:
        ready: what learns.
        seen: what looks on.
        stood: where a run that is resumed had come to; empty for a new one.
    """
    model, points, trained = ready.started.model, ready.record.points, stood.get("trained", False)
    if stood.get("diverged"):
        return None if stood.get("lost") else _last(ready, seen), stood["diverged"]
    try:
        with ready.seam:
            if not trained:
                _learn(ready, seen)
                if ready.job.case.recipe.is_single:
                    _close(model)  # what follows measures in the only simulator that there may be
            if not stood.get("finished", trained):
                _finish(ready, seen)
            last = _last(ready, seen)
            if last is None:
                raise DivergenceError(explain(model.num_timesteps))
            # What it sees of the last rollout no checkpoint holds.
            seen.diagnosing.look()
            _save(ready, seen, trained=True)
            if not points or points[-1].steps < last.steps:
                seen.selection.measure(last.policy)
                model.logger.dump(model.num_timesteps)
                _save(ready, seen, trained=True)
            return last, None
    except DivergenceError as error:
        last = _last(ready, seen)
        _save(ready, seen, trained=True, diverged=str(error))
        return last, str(error)


def _learn(ready: Ready, seen: Watch) -> None:
    job, model = ready.job, ready.started.model
    remaining = job.plan.steps - ready.clock.trained
    # A callback of the user's may have ended the training before its last step.
    if remaining <= 0:
        return
    try:
        model.learn(
            remaining,
            callback=callbacks(ready, seen, lambda: _save(ready, seen, trained=False)),
            reset_num_timesteps=False,
            log_interval=4 if job.plan.algorithm in OFF_POLICY else 1,
            **({"use_masking": job.case.task.masks} if ready.started.prior.masked else {}),
        )
    except (ValueError, DivergenceError) as error:
        # torch's distributions refuse a NaN before any callback can see it, and so does what steps the environment.
        if is_finite(model) and sees_finite(model):
            raise
        raise DivergenceError(explain(model.num_timesteps)) from error
    except (EOFError, ConnectionError) as error:
        if job.case.recipe.vec_env != "subproc":
            raise
        raise TaskError(
            f"a process of the environment {job.case.task.describe()} ended at step {model.num_timesteps}: what it "
            "raised stands above; with vec_env dummy it is easier to find."
        ) from error


def _finish(ready: Ready, seen: Watch) -> None:
    """Let the methods have their last word on the weights that are kept: the average, where there is one."""
    if not is_finite(ready.started.model) or not ready.seam.tuner.finishes:
        return
    seen.averaging.update()
    _save(ready, seen, trained=True, finished=False)
    if seen.averaging.decay:
        seen.averaging.adopt()
    ready.seam.finish()
    seen.averaging.hold()


def _last(ready: Ready, seen: Watch) -> Snapshot | None:
    model = ready.started.model
    if not is_finite(model):
        return None
    seen.averaging.update()
    with seen.averaging.shown() if seen.averaging.decay else nullcontext():
        steps = ready.job.charged + ready.clock.trained
        return Snapshot(steps, copied(model.policy), save_vec_normalize(ready.started.normalize))


def _save(ready: Ready, seen: Watch, *, trained: bool, **ended: Any) -> None:
    """Write a checkpoint, where the run has a folder."""
    folder = ready.job.folder
    if folder is None:
        return
    if seen.monitor is not None:
        seen.monitor.flush()
    checkpoint.write(state_of(ready, seen, trained=trained, **ended), folder)


def _close(model: BaseAlgorithm) -> None:
    """Close the environments, also where a process of theirs has died."""
    try:
        model.env.close()  # type: ignore[union-attr]
    except (EOFError, ConnectionError):
        for process in model.env.unwrapped.processes:  # type: ignore[union-attr]
            process.terminate()
