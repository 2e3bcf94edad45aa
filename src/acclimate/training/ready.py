"""A model with its methods in place, ready to learn from its first step or from where a checkpoint stood."""

from __future__ import annotations

from dataclasses import dataclass

from acclimate.sb3.prior_view import prior_view
from acclimate.seam.seam import Seam
from acclimate.training.clock import Clock
from acclimate.training.job import Job
from acclimate.training.record import Record
from acclimate.training.warm_start import WarmStarted


@dataclass(frozen=True)
class Ready:
    """All that learns, and all that counts it."""

    job: Job
    started: WarmStarted
    clock: Clock
    seam: Seam
    record: Record

    @classmethod
    def of(cls, job: Job, started: WarmStarted, clock: Clock) -> Ready:
        """Put the methods of a job into the model that was warm-started for it."""
        seam = Seam(
            started.model,
            job.method,
            context=job.context(started),
            total_steps=job.plan.steps,
            seen_as=prior_view(job.case.agent.normalizer, started.normalize),
        )
        return cls(job, started, clock, seam, Record())
