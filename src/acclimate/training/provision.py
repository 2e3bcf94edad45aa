"""What a run gives to those that ask: steps of the pretrained agent, and the return of the agent as it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from acclimate.diagnosis.history import History
from acclimate.diagnosis.reading import STATES, Fixed, Glance
from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.rollouts import collect
from acclimate.planning.recipe import PROBE_SEED, SELECTION_SEED
from acclimate.sb3.networks import find
from acclimate.seam.seam import Seam
from acclimate.tasks.task import Task
from acclimate.training.callbacks.diagnosing import Diagnosing
from acclimate.training.job import Job, live_agent
from acclimate.training.warm_start import WarmStarted
from acclimate.tuning.method import Context

METHOD_SEED = PROBE_SEED + 5_000
DIAGNOSIS_SEED = PROBE_SEED + 7_000
FEWEST = 32


def context(job: Job, started: WarmStarted) -> Context:
    """Return the data and the judgement that the methods of a run may ask for."""
    plan = job.recipe.evaluation

    def rollouts(task: Task) -> Any:
        return lambda steps: collect(started.blueprint_agent, task, steps, seed=METHOD_SEED)

    def judge() -> tuple[float, int]:
        found = evaluate(
            live_agent(started),
            job.task,
            episodes=plan.episodes,
            seed=SELECTION_SEED,
            n_envs=plan.n_envs,
            deterministic=plan.deterministic,
        )
        return float(found.returns.mean()), int(found.lengths.sum())

    return Context(
        source=None if job.source is None else rollouts(job.source),
        target=rollouts(job.task),
        evaluate=judge,
        seed=job.recipe.seed,
    )


def diagnosing(
    job: Job,
    started: WarmStarted,
    seam: Seam,
    seen: Mapping[str, Any] | None,
    log: Mapping[str, list[float]],
    trained: Callable[[], int],
) -> Diagnosing:
    """Return what looks at a run, with the states on which it compares.

    They are fewer in a short run. Nothing is trained on them, so they are not charged, as evaluations are not.

    Args:
        job: the run.
        started: its model.
        seam: its methods.
        seen: what it saw before it was resumed.
        log: what SB3 logs.
        trained: gives the training steps taken.
    """
    begun = time.perf_counter()
    prior, steps = started.blueprint_agent, max(FEWEST, min(STATES, job.recipe.steps // 20))
    target = collect(prior, job.task, steps, seed=DIAGNOSIS_SEED)
    source = None if job.source is None else collect(prior, job.source, steps, seed=DIAGNOSIS_SEED)
    with torch.no_grad():
        decides = next((net for net in find(prior.model) if net.decides), None)
        saved = None if decides is None else decides.apply(decides.module, target)
    device = started.model.device
    fixed = Fixed(target.to(device), None if source is None else source.to(device), saved, job.plan.temperature)
    looks = Diagnosing(
        seam,
        Glance(started.model, seam, fixed, prior.normalizer),
        History(seen),
        log,
        lambda: job.charged + trained() + seam.tuner.context.charged,
    )
    looks.seconds += time.perf_counter() - begun
    return looks
