"""How many steps and seconds a run has taken, those of the runs that it resumed included."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.sb3.counters import updates_of
from acclimate.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class Clock:
    """Counts what a model in training has taken."""

    model: BaseAlgorithm
    start: int
    """SB3's counter of steps when the run began, which a resumed run did before it was killed."""
    updates: int
    """SB3's counter of updates then."""
    steps_before: int
    """Training steps of the runs that this one resumed."""
    seconds_before: float
    """And their seconds."""
    resumed: tuple[int, ...] = ()
    """Training steps at which runs were resumed while they learnt."""
    begun: float = field(default_factory=time.perf_counter)

    @classmethod
    def of(cls, model: BaseAlgorithm, saved: Checkpoint | None) -> Clock:
        """Start the clock of a model that has just been warm-started, where a checkpoint stood."""
        start, updates = model.num_timesteps, updates_of(model)
        if saved is None:
            return cls(model, start, updates, 0, 0.0)
        steps, resumed = saved.progress["steps"], saved.progress.get("resumed", [])
        here = [] if saved.progress["trained"] or not steps else [steps]
        return cls(model, start, updates, steps, saved.progress["seconds"], tuple(dict.fromkeys([*resumed, *here])))

    @property
    def trained(self) -> int:
        """Training steps taken."""
        return self.model.num_timesteps - self.start

    @property
    def seconds(self) -> float:
        """Seconds since the warm start."""
        return self.seconds_before + time.perf_counter() - self.begun
