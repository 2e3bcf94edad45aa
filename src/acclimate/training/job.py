"""What is trained, how and under whose eyes, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stable_baselines3.common.type_aliases import MaybeCallback

from acclimate.agents.agent import Agent
from acclimate.agents.graft import kept
from acclimate.diagnosis.history import History
from acclimate.evaluation.evaluate import Evaluation, evaluate
from acclimate.evaluation.rollouts import collect
from acclimate.evaluation.seeds import METHOD_SEED, SELECTION_SEED
from acclimate.evaluation.transitions import Transitions
from acclimate.methods.bc import BC
from acclimate.methods.hold import Hold
from acclimate.planning.case import Case
from acclimate.planning.plan import Plan
from acclimate.planning.saved import Falling
from acclimate.seam.seam import Seam
from acclimate.tasks.task import Task
from acclimate.training.record import Record, Snapshot
from acclimate.training.warm_start import WarmStarted
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, chain


def silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Listeners:
    """Who looks on while an agent is trained."""

    callback: MaybeCallback = None
    """SB3 callbacks that see the training too."""
    progress: bool = True
    """Whether to show a progress bar on a terminal."""
    say: Callable[[str], None] = silent
    """Gets lines of text on what is carried over, what is reset and what was decided."""
    ended: Callable[[Trained], None] = lambda _: None
    """Gets what training ended with, before an agent is made of its model, which changes that for good."""


@dataclass(frozen=True)
class Job:
    """What is trained and how, and against what it is measured."""

    case: Case
    plan: Plan
    pretrained: Evaluation
    """The untouched agent's episodes on the selection seeds."""
    charged: int
    """Target steps spent before training."""
    probed: Transitions | None = None
    """Those steps themselves, with which a replay buffer begins."""
    measuring: int = 0
    """Environment steps that measuring is foreseen to take, from before the first step to after the last."""
    folder: Path | None = None
    """Of the run; None writes nothing."""
    listeners: Listeners = field(default_factory=Listeners)

    @property
    def method(self) -> Method:
        """The critic's warm-up, the recipe's methods, and the tie to what the agent does at home."""
        plan = self.plan
        # The buffer is filled before the first update: the critic's steps begin after it.
        hold = [Hold(steps=plan.prior_steps + plan.critic_warmup)] if plan.critic_warmup > 0 else []
        tie = [BC(weight=plan.tie)] if plan.tie > 0 else []
        return chain(*hold, *self.case.recipe.methods, *tie)

    @property
    def name(self) -> str:
        """The recipe's methods and the tie, joined by plus signs."""
        names = [method.name for method in chain(*self.case.recipe.methods).parts()] + ["bc"] * (self.plan.tie > 0)
        return "+".join(names) if names else "full"

    def context(self, started: WarmStarted) -> Context:
        """Return the data and the judgement that the methods of the run may ask for."""
        case, plan = self.case, self.case.recipe.evaluation

        def rollouts(task: Task) -> Any:
            return lambda steps: collect(started.prior, task, steps, seed=METHOD_SEED)

        def judge() -> tuple[float, int]:
            found = evaluate(
                started.live(),
                case.task,
                episodes=plan.episodes,
                seed=SELECTION_SEED,
                n_envs=case.recipe.measuring_envs,
                deterministic=plan.deterministic,
            )
            return float(found.returns.mean()), int(found.lengths.sum())

        return Context(
            source=None if case.source is None else rollouts(case.source),
            target=rollouts(case.task),
            evaluate=judge,
            seed=case.recipe.seed,
        )

    def announce(self, started: WarmStarted, seam: Seam, engine: tuple[str, str]) -> None:
        """Say what was carried over, what was reset and what was decided, before the first step."""
        say = self.listeners.say
        for title, rows in (("carried over", started.carried), ("reset", started.reset)):
            say(title)
            for what, how in rows:
                say(f"  {what:<26} {how}")
        say("decided")
        for what, value, why in (*self.plan.why(), ("engine", *engine)):
            say(f"  {what:<26} {value:<8} {why}")
        for name, paths in seam.tuner.composition.left_out().items():
            say(f"note: `{name}` acts on linear and convolutional layers, not on {' and '.join(paths)}")
        parameters = f"{seam.trainable_parameters:,} of {seam.total_parameters:,} parameters"
        say(f"training {parameters} for {self.plan.steps:,} steps")
        say(f"measuring takes about {self.measuring:,} steps of its own, in episodes before, during and after training")
        if self.measuring > self.plan.steps:
            say("note: that is more than training takes; fewer evaluation.episodes, points or final_episodes ask less")


@dataclass(frozen=True)
class Trained:
    """A model at the end of training, its methods still in place until one of its agents is asked for."""

    job: Job
    started: WarmStarted
    seam: Seam
    record: Record
    last: Snapshot | None
    """None where the end of training is not finite."""
    steps: int
    """Training steps taken."""
    steps_measured: int
    """Environment steps of the measurements in training and of the diagnosis."""
    resumed: tuple[int, ...]
    """Training steps at which it was resumed."""
    seconds_before: float
    """Of the runs that this one resumed."""
    seconds_learning: float
    """Since the warm start, without those of measuring and looking."""
    log: Mapping[str, list[float]]
    signals: History
    """What was measured of networks, values, observations and the policy."""
    engine: tuple[str, str]
    """What collected and updated, and why."""
    trainable_parameters: int
    total_parameters: int
    diverged: str | None = None

    @property
    def steps_charged(self) -> int:
        """Target steps of the probe, of training, and those that methods asked for."""
        return self.job.charged + self.steps + self.seam.tuner.context.charged - self.steps_home

    @property
    def steps_home(self) -> int:
        """Steps of the world of pretraining that methods asked for."""
        return self.seam.tuner.context.charged_source

    def show(self, snapshot: Snapshot) -> Agent:
        """Make the model act as it did at a snapshot, and return it as an agent."""
        self.started.model.policy.load_state_dict(snapshot.policy, strict=True)
        return self.started.prior.around(self.started.model, normalizer=snapshot.normalizer)

    def tuned(self, snapshot: Snapshot) -> Agent:
        """Return the agent of a snapshot as a stock one, or with its methods in place where it cannot be one.

        One method that stays keeps all: folding those around it would change what it was trained on.
        """
        agent, method = self.show(snapshot), self.job.method
        stock = method.foldable and not agent.methods
        model = self.seam.fold() if stock else self.seam.keep()
        # Whoever trains on goes on as this run did, with a buffer of the agent's own size. One for hindsight needs an
        # episode before the first update, which nobody but us waits for without `learning_starts`.
        own = {"buffer_size", *(() if agent.blueprint.hindsight is None else ("learning_starts",))}
        used = {name: value for name, value in self.job.plan.hyperparameters.items() if name not in own}
        # A file keeps numbers: where a setting fell, whoever trains on begins as this run did.
        used = {name: value.start if isinstance(value, Falling) else value for name, value in used.items()}
        blueprint = replace(agent.blueprint, hyperparameters={**agent.blueprint.hyperparameters, **used})
        methods = () if stock else (*agent.methods, *kept(method))
        return agent.around(model, normalizer=agent.normalizer, methods=methods, blueprint=blueprint)
