"""Stay near the pretrained policy in what it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from acclimate.errors import ConfigError, naming
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.nets.outputs import Outputs, Policy, as_policy, divergence
from acclimate.nets.prior_states import draw, keep
from acclimate.nets.select import Select
from acclimate.nets.slopes import Slopes, divergence_slopes
from acclimate.schedule import Linear, Schedule, at, span
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals


@dataclass(frozen=True, kw_only=True)
class KLToPrior(Method):
    """Add the divergence between the pretrained policy pi0 and the policy to the loss.

    Forward: J(theta) + weight * mean_s KL(pi0(.|s) || pi(.|s))
    Reverse: J(theta) + weight * mean_s KL(pi(.|s) || pi0(.|s))
    over the states s of the batch, or over a draw of stored ones, in closed form.

    Source: Schmitt et al. 2018, "Kickstarting Deep Reinforcement Learning" (arXiv:1803.03835), where a
    teacher takes the place of pi0; as a retention loss in Wolczyk et al. 2024, "Fine-tuning Reinforcement
    Learning Models is Secretly a Forgetting Mitigation Problem" (arXiv:2402.02868). Use it where pi0 still
    knows something of the new world; where pi0 is wrong on the states it now meets, it holds the policy back.

    Squashed Gaussians are compared before squashing, which gives the same number. A policy that puts out one
    action (TD3, DDPG) counts as a Gaussian of standard deviation `std` around it: the divergence is |a -
    a0|^2 / (2 std^2). A Q-network counts as the policy softmax(Q / temperature).
    """

    name: ClassVar[str] = "kl"
    family: ClassVar[str] = "regularisation"

    weight: float | Schedule = Linear(0.5, 0.0)
    """Strength of the tie. Higher: nearer to what the pretrained policy does, slower adaptation. The PPO clip
    does not bound what it adds, so watch the approximate KL. The default lets go over the run, a number such as
    0.5 never does. A schedule counts environment steps, not minibatches, so it does not depend on epochs or
    batch size."""
    direction: Literal["forward", "reverse"] = "forward"
    """`forward` keeps every action alive that the prior takes; `reverse` keeps the policy to some of them."""
    states: Literal["visited", "source", "target"] = "visited"
    """Where the two are compared: `visited`, in the states of the update at hand; `source` or `target`, in states
    that the pretrained agent met in that task before training, whatever the policy visits now. Each update draws
    as many of them as its minibatch has."""
    stored: int = 1000
    """Steps of the pretrained agent that are stored, charged to the run. More: more of what it does is kept.
    `source` and `target` only."""
    temperature: float = 1.0
    """Of the softmax over action values, in units of value. Higher: differences of value count less.
    Q-networks only."""
    std: float = 0.2
    """Of the Gaussian around a single action, in units of the action; 0.2 is the noise of TD3's target
    policy. Higher: differences count less. TD3 and DDPG only."""
    on: Select = Select("actor|policy|q")
    """Which networks; each must put out a policy or action values."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if span(self.weight)[0] < 0:
            raise ConfigError(f"kl.weight is {self.weight}; a tie of less than 0 pushes away, give 0 or more")
        if self.on.narrows and self.states != "visited":
            raise ConfigError(f"kl.on is `{self.on}`; it acts on what a whole network does, name a role without a part")
        if self.stored < 1:
            raise ConfigError(f"kl.stored is {self.stored}; give at least 1 step, such as 1000")
        for name in ("temperature", "std"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"kl.{name} is {getattr(self, name)}; give a number above 0")

    def has(self, *hooks: str) -> bool:
        """Tell whether it has any of these hooks; which penalty it has follows from `states`."""
        other = "module_penalty" if self.states == "visited" else "output_penalty"
        return super().has(*(hook for hook in hooks if hook != other))

    def init(self, net: Net, context: Context) -> Any:
        """Return the stored states, if any, with what the pretrained policy does there."""
        if self.states == "visited":
            return ()
        with naming(self.name, net.role):
            steps = context.source(self.stored) if self.states == "source" else context.target(self.stored)
            return keep(net, steps, temperature=self.temperature, std=self.std, seed=context.seed)

    def idle(self, signals: Signals) -> bool:
        """Tell whether the weight is zero by now."""
        return at(self.weight, signals.progress) == 0

    def output_penalty(self, outputs: Outputs, prior_outputs: Outputs, signals: Signals) -> Tensor:
        """Return the weight times the mean divergence over the batch."""
        policy, prior = (
            as_policy(item, temperature=self.temperature, std=self.std) for item in (outputs, prior_outputs)
        )
        return self._penalty(policy, prior, signals)

    def output_slopes(self, outputs: Outputs, prior_outputs: Outputs, signals: Signals) -> tuple[Tensor, Slopes] | None:
        """Return the same in closed form, where there is one."""
        found = divergence_slopes(
            outputs, prior_outputs, forward=self.direction == "forward", temperature=self.temperature, std=self.std
        )
        if found is None:
            return None
        apart, slopes = found
        weight = at(self.weight, signals.progress)
        return weight * apart.mean(), {name: slope * (weight / len(apart)) for name, slope in slopes.items()}

    def module_penalty(self, net: Net, state: Any, batch: Batch, signals: Signals) -> Tensor:
        """Return the weight times the mean divergence over a draw of the stored states."""
        policy, prior = draw(net, state, len(batch), update=signals.updates, temperature=self.temperature, std=self.std)
        return self._penalty(policy, prior, signals)

    def _penalty(self, policy: Policy, prior: Policy, signals: Signals) -> Tensor:
        apart = divergence(prior, policy) if self.direction == "forward" else divergence(policy, prior)
        return at(self.weight, signals.progress) * apart.mean()
