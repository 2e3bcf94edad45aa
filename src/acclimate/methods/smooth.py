"""Let the policy do nearly the same on observations that are nearly the same."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from acclimate.errors import ConfigError, SurgeryError, naming
from acclimate.nets.experience import Batch
from acclimate.nets.near.neighbours import climb, floating, units
from acclimate.nets.near.reactions import distance, overtaken
from acclimate.nets.net import Net
from acclimate.nets.outputs import ActionValues, Outputs
from acclimate.nets.seeding import generator
from acclimate.nets.select import Select
from acclimate.schedule import Schedule, at, span
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals

MOST_STEPS = 1000


@dataclass(frozen=True, kw_only=True)
class Smooth(Method):
    """Add how much the policy changes on the worst observation near each one to the loss.

    J(theta) + weight * mean_s max_s' KL(pi(.|s) || pi(.|s')),  |s' - s| <= radius in each entry
    Q-networks: J(theta) + weight * mean_s max_s' max(0, margin + max_a Q(s', a) - Q(s', a*)), a* best in s, a another
    The maximum is sought from a random s' by `steps` of projected gradient ascent. The gradient goes through both
    policies; the authors' code holds pi(.|s) fixed, which leaves a term that is mostly the noise of s'.

    Source: Zhang et al. 2020, "Robust Deep Reinforcement Learning against Adversarial Perturbations on State
    Observations" (arXiv:2003.08938), as SA-PPO, SA-DDPG and SA-DQN. For PPO their code has a weight of 0.1, 10 steps,
    and a radius of 0.075 (Hopper) or 0.15 (HalfCheetah) of normalised observations, which grows over most of a training
    that begins from nothing.

    Use it where sensors are noisy or hostile. Nothing of it stays in the network. It costs a forward and a backward
    pass for each step, and often some of the clean return, by which a run decides whether the tuned agent is kept:
    where it is not, it lies in the folder `last` of the run. It loses where small differences matter, and it proves
    nothing: a stronger attack may find what this search does not.

    Images are moved by shares of a pixel's range; of a Dict the floating numbers and images move, choices and counts
    never. Squashed Gaussians (SAC) are compared by their mean action, and it and a single action (TD3, DDPG) count as
    Gaussians of standard deviation 0.2. A recurrent policy is compared along the steps of its minibatch, all moved.
    """

    name: ClassVar[str] = "smooth"
    family: ClassVar[str] = "regularisation"

    weight: float | Schedule = 0.1
    """Strength of the tie. Higher: steadier under noise and attacks, slower to learn, duller where details count."""
    radius: float | Schedule = 0.05
    """The largest change of an entry, in units of what the network reads: standard deviations where a normaliser
    scales, those of the environment where none does, so choose it by its smallest entry. Higher: safe from larger
    errors, at the cost of more clean return. A schedule such as `0->0.1` begins gently."""
    steps: int = 3
    """Steps of the search for the worst. More: a better maximum, at the price of a forward and a backward pass each."""
    margin: float = 1.0
    """How far the best action has to lead, in units of value. Higher: more is asked of each state. Q-networks only."""
    on: Select = Select("actor|policy|q")
    """Which networks, whole; each must put out a policy or action values."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.on.narrows:
            raise ConfigError(
                f"smooth.on is `{self.on}`; it acts on what a whole network does, name a role without a part"
            )
        for name in ("weight", "radius"):
            if span(getattr(self, name))[0] < 0:
                raise ConfigError(f"smooth.{name} is {getattr(self, name)}; give 0 or more")
        if not 1 <= self.steps <= MOST_STEPS:
            raise ConfigError(f"smooth.steps is {self.steps}; give 1 to {MOST_STEPS}, such as 3")
        if self.margin < 0:
            raise ConfigError(f"smooth.margin is {self.margin}; give 0 or more, in units of value")

    def init(self, net: Net, context: Context) -> dict[str, Any]:
        """Return the seed of its draws, and which parts of the observations move.

        Raises:
            SurgeryError: if none does, or the network puts out no policy.
        """
        with naming(self.name, net.role):
            if not net.puts_out_policy:
                raise SurgeryError("nothing tells that it puts out a policy; choose the `actor`, or a Q-network")
            found = None if net.intake is None else units(net.intake.observation_space)
        return {"seed": context.seed, "units": found}

    def idle(self, signals: Signals) -> bool:
        """Tell whether the weight or the radius is zero by now."""
        return 0 in (at(self.weight, signals.progress), at(self.radius, signals.progress))

    def module_penalty(self, net: Net, state: dict[str, Any], batch: Batch, signals: Signals) -> Tensor:
        """Return the weight times the mean over the rows of what the worst neighbours change."""

        def outputs(observations: Any) -> Outputs:
            return net.apply(net.module, dataclasses.replace(batch, observations=observations))

        before = outputs(batch.observations)

        def change(observations: Any) -> Tensor:
            after = outputs(observations)
            return overtaken(before, after) if isinstance(before, ActionValues) else distance(before, after)

        *_, worst = climb(
            change,
            batch.observations,
            state["units"] or floating(batch.observations),
            radius=at(self.radius, signals.progress),
            steps=self.steps,
            source=generator(state["seed"], self.name, net.role, signals.updates),
        )
        most = change(worst)
        if isinstance(before, ActionValues):  # the search goes on where the hinge is flat
            most = (self.margin + most).clamp(min=0.0)
        return at(self.weight, signals.progress) * most.mean()
