"""Stay near the pretrained policy in what it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from acclimate.errors import ConfigError
from acclimate.method import Method, Signals
from acclimate.outputs import Outputs, as_policy, divergence
from acclimate.schedule import Schedule, at, span
from acclimate.select import Select


@dataclass(frozen=True, kw_only=True)
class KLToPrior(Method):
    """Add the divergence between the pretrained policy pi0 and the policy to the loss.

    Forward: J(theta) + weight * mean_s KL(pi0(.|s) || pi(.|s))
    Reverse: J(theta) + weight * mean_s KL(pi(.|s) || pi0(.|s))
    over the states s of the batch, in closed form.

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

    weight: float | Schedule = 0.5
    """Strength of the tie. Higher: nearer to what the pretrained policy does, slower adaptation. The PPO clip
    does not bound what it adds, so watch the approximate KL. A schedule such as `0.5->0.0` lets go over the
    run."""
    direction: Literal["forward", "reverse"] = "forward"
    """`forward` keeps every action alive that the prior takes; `reverse` keeps the policy to some of them."""
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
        for name in ("temperature", "std"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"kl.{name} is {getattr(self, name)}; give a number above 0")

    def idle(self, signals: Signals) -> bool:
        """Tell whether the weight is zero by now."""
        return at(self.weight, signals.progress) == 0

    def output_penalty(self, outputs: Outputs, prior_outputs: Outputs, signals: Signals) -> Tensor:
        """Return the weight times the mean divergence over the batch."""
        policy, prior = (
            as_policy(item, temperature=self.temperature, std=self.std) for item in (outputs, prior_outputs)
        )
        apart = divergence(prior, policy) if self.direction == "forward" else divergence(policy, prior)
        return at(self.weight, signals.progress) * apart.mean()
