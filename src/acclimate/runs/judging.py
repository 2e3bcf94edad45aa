"""The episodes that judge a run: the untouched agent's, those that choose what is kept, and the final ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from acclimate.agents.agent import Agent
from acclimate.evaluation.evaluate import Evaluation, evaluate
from acclimate.parallel.cores import forks
from acclimate.parallel.jobs import at_once
from acclimate.planning.recipe import FINAL_SEED, SELECTION_SEED, Recipe
from acclimate.reports.findings import Measured
from acclimate.runs.before import Before
from acclimate.tasks.task import Task
from acclimate.training.callbacks.selection import Snapshot, lower_bound
from acclimate.training.job import Trained

EPISODES, SEED = 50, SELECTION_SEED + 5_000
"""Episodes on fresh seeds that decide between the best snapshot, the last and the pretrained agent."""
ERRORS = 1.645
"""Standard errors below the mean gain: the one-sided 95 % bound."""


@dataclass(frozen=True)
class Judging:
    """Plays episodes in both worlds; what does not wait for anything else is played at the same time."""

    agent: Agent
    """The pretrained one."""
    task: Task
    source: Task | None
    recipe: Recipe

    def before(self) -> dict[str, Evaluation | None]:
        """Return the pretrained agent's episodes by their names in `Before`."""
        jobs = {name: lambda task=task: self._final(self.agent, task) for name, task in self._worlds.items()}
        few = self.recipe.evaluation.episodes
        jobs["selection"] = lambda: self._play(self.agent, self.task, few, SELECTION_SEED)
        return {"source": None, **self._together(jobs)}

    def choose(self, trained: Trained) -> Snapshot | None:
        """Return the snapshot that is surely better than the pretrained agent, None where none is."""
        candidates = {s.steps: s for s in (trained.record.best, trained.last) if s is not None}
        # The end of training wins a tie: it is what the report's `last` column shows.
        if trained.last is not None:
            candidates[trained.last.steps] = trained.last
        if not candidates:
            return None
        jobs = {str(steps): lambda one=one: self._judged(trained.show(one)) for steps, one in candidates.items()}
        found = self._together({**jobs, "pretrained": lambda: self._judged(self.agent)})
        best, best_lower = None, 0.0
        for steps, snapshot in candidates.items():
            lower = lower_bound(found[str(steps)].returns - found["pretrained"].returns, ERRORS)
            if lower > best_lower:
                best, best_lower = snapshot, lower
        return best

    def last(self, trained: Trained, chosen: Snapshot | None) -> dict[str, Evaluation]:
        """Return the final episodes of the end of training by the names of the worlds; none if that was chosen."""
        last = trained.last
        if last is None or last is chosen:
            return {}
        jobs = {n: lambda task=task: self._final(trained.show(last), task) for n, task in self._worlds.items()}
        return self._together(jobs)

    def measured(
        self, before: Before, kept: Agent | None, last: Mapping[str, Evaluation], *, same: bool
    ) -> dict[str, Measured]:
        """Return all final episodes by the names of the worlds.

        Args:
            before: the pretrained agent's.
            kept: the tuned agent, None where the pretrained one is kept.
            last: those of the end of training.
            same: whether that is the agent that is kept.
        """
        jobs = (
            {} if kept is None else {n: lambda task=task: self._final(kept, task) for n, task in self._worlds.items()}
        )
        after = self._together(jobs)
        found: dict[str, Measured] = {}
        for name, first in (("target", before.target), ("source", before.source)):
            if first is not None and name in self._worlds:
                now = after.get(name, first)
                found[name] = Measured(first, now, now if same else last.get(name))
        return found

    @property
    def _worlds(self) -> dict[str, Task]:
        return {"target": self.task} if self.source is None else {"target": self.task, "source": self.source}

    def _together(self, jobs: Mapping[str, Callable[[], Evaluation]]) -> dict[str, Evaluation]:
        """Return what each job finds, in several processes where they may be forked."""
        alone = self.recipe.vec_env != "auto" or self.agent.device.type != "cpu" or len(jobs) < 2
        return dict(zip(jobs, at_once(list(jobs.values()), 1 if alone else forks(*self._worlds.values())), strict=True))

    def _final(self, agent: Agent, task: Task) -> Evaluation:
        return self._play(agent, task, self.recipe.evaluation.final_episodes, FINAL_SEED)

    def _judged(self, agent: Agent) -> Evaluation:
        return self._play(agent, self.task, EPISODES, SEED)

    def _play(self, agent: Agent, task: Task, episodes: int, seed: int) -> Evaluation:
        plan = self.recipe.evaluation
        return evaluate(agent, task, episodes=episodes, seed=seed, n_envs=plan.n_envs, deterministic=plan.deterministic)
