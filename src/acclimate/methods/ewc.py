"""Hold the weights that the policy depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import Parameter

from acclimate.errors import ConfigError, naming
from acclimate.nets.importance import anchored, fisher_diagonal, weighted_distance
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.schedule import Schedule, at, span
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals


@dataclass(frozen=True, kw_only=True)
class EWC(Method):
    """Pull each weight towards its pretrained value theta0 by how much the pretrained policy depends on it.

    J(theta) + weight * sum_i F_i (theta_i - theta0_i)^2
    F_i = max(floor, mean over source states of sum_jk J_ji I_jk J_ki)
    where J is the Jacobian of the policy's parameters in the weights and I their Fisher information: 1 / std^2 for
    a mean and 2 for a log std, diag(p) - p p^T for logits, p (1 - p) for log odds. No action is sampled.

    Source: Kirkpatrick et al. 2017, "Overcoming catastrophic forgetting in neural networks" (arXiv:1612.00796),
    whose lambda is twice this weight; for actors of SAC Wolczyk et al. 2021, "Continual World" (arXiv:2105.10919),
    with a weight of 1e4, a floor of 1e-5, 2,560 states and no pull on the critic. Wolczyk et al. 2024
    (arXiv:2402.02868) report 100 for a robot's SAC actor and 2e6 on NetHack, so search. The default is lower, since
    PPO normalises its advantages and SAC's loss has the size of its values: 100 held a small PPO actor where it was.
    As far as weights act each by itself, half the F-weighted distance is KL(pi0 || pi) on the source states to
    second order.

    Use it where the source task must not be forgotten and its states are not met in the target task; `bc` on the
    same states ties the policy itself. It loses where the world asks for other features: weights that move together
    and cancel out are held back one by one. A squashed policy has the information of the Gaussian before squashing;
    single actions (TD3, DDPG) and action values count as in `kl`.
    """

    name: ClassVar[str] = "ewc"
    family: ClassVar[str] = "regularisation"

    weight: float | Schedule = 10.0
    """Strength of the pull. Higher: less forgetting, slower adaptation. A schedule counts environment steps."""
    floor: float = 1e-5
    """The least importance of a weight. Higher: weights that do not matter in the source task move less too."""
    stored: int = 1000
    """Steps of the pretrained agent in the source task, charged to the run. More: a steadier estimate."""
    temperature: float = 1.0
    """Of the softmax over action values, in units of value. Higher: less importance. Q-networks only."""
    std: float = 0.2
    """Of the Gaussian around a single action. Higher: less importance. TD3 and DDPG only."""
    on: Select = Select("actor|trunk|policy|q")
    """Which weights; the network must put out a policy or action values, so not a critic: its values are of the
    old rewards."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if span(self.weight)[0] < 0:
            raise ConfigError(f"ewc.weight is {self.weight}; a pull of less than 0 pushes away, give 0 or more")
        if self.floor < 0:
            raise ConfigError(f"ewc.floor is {self.floor}; give 0 or more, such as 1e-5")
        if self.stored < 1:
            raise ConfigError(f"ewc.stored is {self.stored}; give at least 1 step, such as 1000")
        for name in ("temperature", "std"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"ewc.{name} is {getattr(self, name)}; give a number above 0")

    def init(self, net: Net, context: Context) -> dict[str, Any]:
        """Return the pretrained weights and their importance in the source task."""
        with naming(self.name, net.role):
            states = net.now(context.source(self.stored))
            fisher = fisher_diagonal(net, states, temperature=self.temperature, std=self.std)
        return anchored(net, fisher, floor=self.floor)

    def idle(self, signals: Signals) -> bool:
        """Tell whether the weight is zero by now."""
        return at(self.weight, signals.progress) == 0

    def weight_penalty(self, net: Net, state: dict[str, Any], signals: Signals) -> Tensor:
        """Return the weight times the distance, each weight by its importance."""
        return at(self.weight, signals.progress) * weighted_distance(state)

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the pretrained weights."""
        return net.pretrained_parameters()
