"""What a run gives to methods that ask: steps of the pretrained agent, and the return of the agent as it is."""

from __future__ import annotations

from typing import Any

from acclimate.evaluate import evaluate
from acclimate.job import Job, live_agent
from acclimate.method import Context
from acclimate.recipe import PROBE_SEED, SELECTION_SEED
from acclimate.rollouts import collect
from acclimate.task import Task
from acclimate.warmstart import WarmStarted

METHOD_SEED = PROBE_SEED + 5_000


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
