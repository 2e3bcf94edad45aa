"""The state of a run out into a checkpoint, and back in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from acclimate.nets.alike import check_tensors
from acclimate.sb3.counters import counters_of, set_counters
from acclimate.sb3.moving import normalizer_state, read_normalizer, restore_normalizer
from acclimate.sb3.normalizer import save_vec_normalize
from acclimate.training import record as records
from acclimate.training.callbacks.divergence import is_finite
from acclimate.training.checkpoint import Checkpoint, damaged, random_state, restore_random
from acclimate.training.job import Job
from acclimate.training.progress import check
from acclimate.training.ready import Ready
from acclimate.training.record import Snapshot
from acclimate.training.replay import replay_state, restore_replay
from acclimate.training.watch import Watch


def state_of(
    ready: Ready, watch: Watch, *, trained: bool, finished: bool = True, diverged: str | None = None
) -> Checkpoint:
    """Return all that a run needs to go on.

    Args:
        ready: what learns.
        watch: what looks on.
        trained: whether the last step has been taken: nothing is learnt any more, and the replay buffer is left out.
        finished: whether the methods have had their last word since.
        diverged: what ended the training before its last step.
    """
    model, record, best = ready.started.model, ready.record, ready.record.best
    lost = diverged is not None and not is_finite(model)
    progress = {
        "format": 1,
        "trained": trained,
        "finished": trained and finished,
        "diverged": diverged,
        "lost": lost,
        "charged": ready.seam.tuner.context.charged,
        "steps": ready.clock.trained,
        "resumed": list(ready.clock.resumed),
        "counters": counters_of(model),
        "seconds": ready.clock.seconds,
        "monitor_rows": watch.monitor.rows if watch.monitor else 0,
        "best_lower": record.best_lower if np.isfinite(record.best_lower) else None,
        "points": records.to_json(record.points),
        "log": dict(watch.log.values),
        "signals": watch.diagnosing.history.to_json(),
        "unread": None if lost else watch.diagnosing.state(),
    }
    learnt = {
        "normalizer": normalizer_state(save_vec_normalize(ready.started.normalize)),
        "seam": ready.seam.state_dict(),
        "average": watch.averaging.state(),
    }
    tensors = {
        # Of what has left the numbers nothing is of use, and nothing would be let in again.
        **(dict.fromkeys(learnt) if lost else learnt),
        "random": random_state(),
        "best": None
        if best is None
        else {"steps": best.steps, "policy": best.policy, "normalizer": normalizer_state(best.normalizer)},
    }
    return Checkpoint(progress, tensors, None if trained else replay_state(model))


def checked(saved: Checkpoint, job: Job) -> int:
    """Check what a checkpoint says in JSON before any of it is used, and return at which step it was taken.

    Raises:
        SourceError: A field is not what it should be.
    """
    with damaged(job.folder):
        steps = check(saved.progress, "progress.json")["steps"]
        if steps > job.plan.steps:
            raise ValueError(f"taken at step {steps} of {job.plan.steps}")
        return steps


def restore(ready: Ready, saved: Checkpoint) -> None:
    """Put back what a checkpoint holds of all that learns; what looks on takes its part when it is made.

    Raises:
        ValueError: A part is not that of this run; or what reading the wrong kind of a value raises.
        TrainingError: It is of other methods.
    """
    started, tensors, record = ready.started, saved.tensors, ready.record
    if saved.progress.get("lost"):
        ready.seam.tuner.context.charged = saved.progress["charged"]
    else:
        _learnt(ready, tensors)
    if saved.replay is not None:
        restore_replay(started.model, saved.replay)
    restore_random(tensors["random"])
    started.model.num_timesteps = ready.clock.start + ready.clock.steps_before
    set_counters(started.model, saved.progress["counters"])
    lower = saved.progress["best_lower"]
    record.points = records.from_json(saved.progress["points"], like=ready.job.pretrained)
    record.best_lower = -np.inf if lower is None else float(lower)
    record.best = _best(ready, tensors["best"])


def _learnt(ready: Ready, tensors: Mapping[str, Any]) -> None:
    started = ready.started
    ready.seam.load_state_dict(tensors["seam"])
    if (started.normalize is None) != (tensors["normalizer"] is None):
        raise ValueError("one of the run and its checkpoint has a normaliser, the other none")
    if started.normalize is not None:
        restore_normalizer(started.normalize, tensors["normalizer"])


def _best(ready: Ready, saved: Any) -> Snapshot | None:
    """Return the best snapshot, whose weights are those of the policy."""
    if saved is None:
        return None
    if type(saved["steps"]) is not int:
        raise ValueError("the best snapshot was taken at no step")
    check_tensors(saved["policy"], ready.started.model.policy.state_dict(), "best")
    return Snapshot(
        saved["steps"], saved["policy"], read_normalizer(saved["normalizer"], ready.started.prior.normalizer)
    )
