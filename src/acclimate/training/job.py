"""What is trained, where and how, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.type_aliases import MaybeCallback

from acclimate.agents.agent import Agent
from acclimate.agents.graft import kept
from acclimate.diagnosis.history import History
from acclimate.evaluation.evaluate import Evaluation
from acclimate.evaluation.transitions import Transitions
from acclimate.methods.hold import Hold
from acclimate.methods.kl import KLToPrior
from acclimate.planning.plan import Plan
from acclimate.planning.recipe import Recipe
from acclimate.runs.folder import RunFolder
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tasks.task import Task
from acclimate.training.callbacks.selection import Record, Snapshot
from acclimate.training.warm_start import WarmStarted, save_vec_normalize
from acclimate.tuning.method import Method, chain

TIE_FRACTION = 0.5
"""Share of the run over which the automatic tie to the prior fades."""


@dataclass(frozen=True)
class Job:
    """What is trained, where, how, and against what it is measured."""

    agent: Agent
    task: Task
    source: Task | None
    recipe: Recipe
    plan: Plan
    pretrained: Evaluation
    """The untouched agent's episodes on the selection seeds."""
    charged: int
    """Target steps spent before training."""
    probed: Transitions | None = None
    """Those steps themselves, with which a replay buffer begins."""
    folder: RunFolder | None = None
    callback: MaybeCallback = None
    progress: bool = True
    say: Callable[[str], None] = print

    @property
    def method(self) -> Method:
        """The critic's warm-up, the recipe's methods, and the tie to the prior that the plan chose."""
        plan = self.plan
        # The buffer is filled before the first update: the critic's steps begin after it.
        hold = [Hold(steps=plan.prior_steps + plan.critic_warmup)] if plan.critic_warmup > 0 else []
        tie = [KLToPrior(weight=Linear(plan.tie, 0.0, TIE_FRACTION))] if plan.tie > 0 else []
        return chain(*hold, *self.recipe.methods, *tie)

    @property
    def name(self) -> str:
        """The recipe's methods and the tie, joined by plus signs."""
        names = [method.name for method in chain(*self.recipe.methods).parts()] + ["kl"] * (self.plan.tie > 0)
        return "+".join(names) if names else "full"

    def announce(self, started: WarmStarted, seam: Seam, engine: tuple[str, str]) -> None:
        """Say what was carried over, what was reset and what was decided, before the first step."""
        tables = (("carried over", started.carried), ("reset", started.reset))
        for title, rows in tables:
            self.say(title)
            for what, how in rows:
                self.say(f"  {what:<26} {how}")
        self.say("decided")
        for what, value, why in (*self.plan.why(), ("engine", *engine)):
            self.say(f"  {what:<26} {value:<8} {why}")
        parameters = f"{seam.trainable_parameters:,} of {seam.total_parameters:,} parameters"
        self.say(f"training {parameters} for {self.plan.steps:,} steps")


@dataclass
class Trained:
    """A model at the end of training, its methods still in place."""

    started: WarmStarted
    seam: Seam
    record: Record
    last: Snapshot | None
    """None where the end of training is not finite."""
    steps: int
    """Training steps taken."""
    seconds_before: float
    """Of the runs that this one resumed."""
    log: Mapping[str, list[float]]
    signals: History
    """What was measured of networks, values, observations and the policy."""
    pretrained_returns: NDArray[np.float64]
    """Returns of the untouched agent on the selection seeds."""
    engine: tuple[str, str]
    """What collected and updated, and why."""
    diverged: str | None = None

    def show(self, snapshot: Snapshot) -> Agent:
        """Make the model act as it did at a snapshot, and return it as an agent."""
        self.started.model.policy.load_state_dict(snapshot.policy, strict=True)
        prior = self.started.blueprint_agent
        return Agent(prior.blueprint, self.started.model, snapshot.normalizer, prior.origin, prior.methods)

    def tuned(self, snapshot: Snapshot, job: Job) -> Agent:
        """Return the agent of a snapshot as a stock one, or with its methods in place where it cannot be one.

        One method that stays keeps all: folding those around it would change what it was trained on.
        """
        agent = self.show(snapshot)
        if job.method.foldable and not agent.methods:
            model, methods = self.seam.fold(), ()
        else:
            model, methods = self.seam.keep(), (*agent.methods, *kept(job.method))
        # Whoever trains on goes on as this run did, with a buffer of the agent's own size.
        used = {name: value for name, value in job.plan.hyperparameters.items() if name != "buffer_size"}
        blueprint = replace(agent.blueprint, hyperparameters={**agent.blueprint.hyperparameters, **used})
        return Agent(blueprint, model, agent.normalizer, agent.origin, methods)


def live_agent(started: WarmStarted) -> Agent:
    """Return the model in training as an agent, with a copy of its normaliser as it stands."""
    prior = started.blueprint_agent
    return Agent(prior.blueprint, started.model, save_vec_normalize(started.normalize), prior.origin, prior.methods)
