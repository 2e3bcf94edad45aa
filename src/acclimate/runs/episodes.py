"""The episodes of a run: each kind by its own seeds, and at the same time where none waits for another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from acclimate.agents.agent import Agent
from acclimate.evaluation.evaluate import Evaluation, evaluate
from acclimate.evaluation.seeds import CHOOSING_SEED, FINAL_SEED, JUDGING_SEED, SELECTION_SEED
from acclimate.parallel.cores import forks
from acclimate.parallel.jobs import at_once
from acclimate.planning.case import Case
from acclimate.tasks.task import Task

CHOOSING = 25
"""Episodes on fresh seeds that choose between the best snapshot and the last."""

Play = Callable[[], Evaluation]


@dataclass(frozen=True)
class Episodes:
    """Plays in the worlds of a case."""

    case: Case

    def final(self, agent: Agent, task: Task) -> Evaluation:
        """Play the episodes of the final evaluation."""
        return self._play(agent, task, self.case.recipe.evaluation.final_episodes, FINAL_SEED)

    def judging(self, agent: Agent) -> Evaluation:
        """Play those that decide whether an agent is kept."""
        return self._play(agent, self.case.task, self.case.recipe.evaluation.judging_episodes, JUDGING_SEED)

    def choosing(self, agent: Agent) -> Evaluation:
        """Play those that choose one agent of what training brought."""
        return self._play(agent, self.case.task, CHOOSING, CHOOSING_SEED)

    def selection(self, agent: Agent) -> Evaluation:
        """Play those by which snapshots are compared during training."""
        return self._play(agent, self.case.task, self.case.recipe.evaluation.episodes, SELECTION_SEED)

    def everywhere(self, agent: Callable[[], Agent]) -> dict[str, Play]:
        """Return what plays the final episodes in each world; the agent is asked for where it plays."""
        return {name: lambda task=task: self.final(agent(), task) for name, task in self.case.worlds.items()}

    def together(self, jobs: Mapping[str, Play]) -> dict[str, Evaluation]:
        """Return what each job finds, in several processes where they may be forked."""
        case = self.case
        recipe, device = case.recipe, case.agent.device
        alone = recipe.is_single or recipe.vec_env != "auto" or device.type != "cpu" or len(jobs) < 2
        processes = 1 if alone else forks(*(task.make for task in case.worlds.values()))
        return dict(zip(jobs, at_once(list(jobs.values()), processes), strict=True))

    def _play(self, agent: Agent, task: Task, episodes: int, seed: int) -> Evaluation:
        recipe = self.case.recipe
        n_envs, deterministic = recipe.measuring_envs, recipe.evaluation.deterministic
        return evaluate(agent, task, episodes=episodes, seed=seed, n_envs=n_envs, deterministic=deterministic)
