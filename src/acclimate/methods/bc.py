"""Clone the pretrained policy on states of the source task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from acclimate.errors import ConfigError, naming
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.nets.outputs import divergence
from acclimate.nets.prior_states import Kept, draw, keep
from acclimate.nets.select import Select
from acclimate.schedule import Schedule, at, span
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals


@dataclass(frozen=True, kw_only=True)
class BC(Method):
    """Add the divergence from the pretrained policy pi0 on stored states of the source task to the loss.

    J(theta) + weight * mean_s KL(pi0(.|s) || pi(.|s)),  s drawn from `stored` steps of pi0 in the source task
    The distributions of pi0 are computed once, before training; each update draws as many states as its minibatch
    has. The gradient is that of the cross-entropy, so it is behavioural cloning of whole distributions.

    Source: Wolczyk et al. 2024, "Fine-tuning Reinforcement Learning Models is Secretly a Forgetting Mitigation
    Problem" (arXiv:2402.02868), who report weights of 1 for a robot's SAC actor and 2 on NetHack, without decay;
    in continual learning Rolnick et al. 2019, "Experience Replay for Continual Learning" (arXiv:1811.11682).

    Use it where what the agent could do must be kept in states that the target task shows late or never; it is
    `kl` forward with `states: source`, without the choice. It loses where the same states now ask for other
    actions, as after a change of dynamics or actuators: there it clones what is wrong.
    """

    name: ClassVar[str] = "bc"
    family: ClassVar[str] = "regularisation"

    weight: float | Schedule = 1.0
    """Strength of the tie. Higher: less forgetting, slower adaptation where the two tasks disagree. A schedule
    counts environment steps."""
    stored: int = 1000
    """Steps of the pretrained agent in the source task, charged to the run. More: more of what it does is kept."""
    temperature: float = 1.0
    """Of the softmax over action values, in units of value. Higher: differences of value count less. Q-networks
    only."""
    std: float = 0.2
    """Of the Gaussian around a single action. Higher: differences count less. TD3 and DDPG only."""
    on: Select = Select("actor|policy|q")
    """Which networks, whole; each must put out a policy or action values."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.on.narrows:
            raise ConfigError(f"bc.on is `{self.on}`; it acts on what a whole network does, name a role without a part")
        if span(self.weight)[0] < 0:
            raise ConfigError(f"bc.weight is {self.weight}; a tie of less than 0 pushes away, give 0 or more")
        if self.stored < 1:
            raise ConfigError(f"bc.stored is {self.stored}; give at least 1 step, such as 1000")
        for name in ("temperature", "std"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"bc.{name} is {getattr(self, name)}; give a number above 0")

    def init(self, net: Net, context: Context) -> Kept:
        """Return states of the source task with what the pretrained policy does there."""
        with naming(self.name, net.role):
            steps = context.source(self.stored)
            return keep(net, steps, temperature=self.temperature, std=self.std, seed=context.seed)

    def idle(self, signals: Signals) -> bool:
        """Tell whether the weight is zero by now."""
        return at(self.weight, signals.progress) == 0

    def module_penalty(self, net: Net, state: Kept, batch: Batch, signals: Signals) -> Tensor:
        """Return the weight times the mean divergence over a draw of the states."""
        policy, prior = draw(net, state, len(batch), update=signals.updates, temperature=self.temperature, std=self.std)
        return at(self.weight, signals.progress) * divergence(prior, policy).mean()
