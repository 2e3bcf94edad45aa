"""The state of a run out into a checkpoint, and back in."""

from __future__ import annotations

import numpy as np

from acclimate.sb3.counters import counters_of, set_counters
from acclimate.sb3.normalizer import normalizer_state, read_normalizer, restore_normalizer, save_vec_normalize
from acclimate.training import record as records
from acclimate.training.checkpoint import Checkpoint, random_state, restore_random
from acclimate.training.ready import Ready
from acclimate.training.record import Snapshot
from acclimate.training.replay import replay_state, restore_replay
from acclimate.training.watch import Watch


def state_of(ready: Ready, watch: Watch, *, trained: bool) -> Checkpoint:
    """Return all that a run needs to go on.

    Args:
        ready: what learns.
        watch: what looks on.
        trained: whether the last step has been taken: nothing is learnt any more, and the replay buffer is left out.
    """
    model, record, best = ready.started.model, ready.record, ready.record.best
    progress = {
        "format": 1,
        "trained": trained,
        "steps": ready.clock.trained,
        "counters": counters_of(model),
        "seconds": ready.clock.seconds,
        "monitor_rows": watch.monitor.rows if watch.monitor else 0,
        "best_lower": record.best_lower if np.isfinite(record.best_lower) else None,
        "points": records.to_json(record.points),
        "log": dict(watch.log.values),
        "signals": watch.diagnosing.history.to_json(),
    }
    tensors = {
        "normalizer": normalizer_state(save_vec_normalize(ready.started.normalize)),
        "seam": ready.seam.state_dict(),
        "random": random_state(),
        "average": watch.averaging.state(),
        "best": None
        if best is None
        else {"steps": best.steps, "policy": best.policy, "normalizer": normalizer_state(best.normalizer)},
    }
    return Checkpoint(progress, tensors, None if trained else replay_state(model))


def restore(ready: Ready, saved: Checkpoint) -> None:
    """Put back what a checkpoint holds of all that learns; what looks on takes its part when it is made."""
    started, tensors, record = ready.started, saved.tensors, ready.record
    ready.seam.load_state_dict(tensors["seam"])
    if started.normalize is not None:
        restore_normalizer(started.normalize, tensors["normalizer"])
    if saved.replay is not None:
        restore_replay(started.model, saved.replay)
    restore_random(tensors["random"])
    started.model.num_timesteps = ready.clock.start + ready.clock.steps_before
    set_counters(started.model, saved.progress["counters"])
    best, lower = tensors["best"], saved.progress["best_lower"]
    record.points = records.from_json(saved.progress["points"], like=ready.job.pretrained)
    record.best_lower = -np.inf if lower is None else float(lower)
    if best is not None:
        normalizer = read_normalizer(best["normalizer"], started.prior.normalizer)
        record.best = Snapshot(best["steps"], best["policy"], normalizer)
