"""Hold the weights that the outputs are sensitive to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import Parameter

from acclimate.errors import ConfigError, naming
from acclimate.nets.importance import anchored, sensitivity, weighted_distance
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.schedule import Schedule, at, span
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals


@dataclass(frozen=True, kw_only=True)
class MAS(Method):
    """Pull each weight towards its pretrained value theta0 by how sensitive the outputs f are to it.

    J(theta) + weight * sum_i W_i (theta_i - theta0_i)^2
    W_i = mean over source states of |d ||f(s)||^2 / d theta_i|
    where f is all that the network puts out: means and log stds, log probabilities, values.

    Source: Aljundi et al. 2018, "Memory Aware Synapses: Learning what (not) to forget" (arXiv:1711.09601); for
    actors of SAC Wolczyk et al. 2021, "Continual World" (arXiv:2105.10919), with a weight of 1e4 on the actor
    alone. The default of 1.0 is ours, for losses of about one as those of PPO; it wants a search.

    It needs no likelihood, so that it also works on critics. It loses to `ewc` where the size of an output is not
    its meaning: an output near zero counts as unimportant, and with a std of 1 so does the log std. The outputs'
    own unit is in the weight: values of 1,000 ask for a far smaller one.
    """

    name: ClassVar[str] = "mas"
    family: ClassVar[str] = "regularisation"

    weight: float | Schedule = 1.0
    """Strength of the pull. Higher: less forgetting, slower adaptation. A schedule counts environment steps."""
    stored: int = 1000
    """Steps of the pretrained agent in the source task, charged to the run. More: a steadier estimate."""
    on: Select = Select("actor|trunk|policy|q")
    """Which weights. On a critic it holds values of the old rewards and of the old dynamics."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if span(self.weight)[0] < 0:
            raise ConfigError(f"mas.weight is {self.weight}; a pull of less than 0 pushes away, give 0 or more")
        if self.stored < 1:
            raise ConfigError(f"mas.stored is {self.stored}; give at least 1 step, such as 1000")

    def init(self, net: Net, context: Context) -> dict[str, Any]:
        """Return the pretrained weights and how sensitive the outputs are to them in the source task."""
        with naming(self.name, net.role):
            return anchored(net, sensitivity(net, net.now(context.source(self.stored))))

    def idle(self, signals: Signals) -> bool:
        """Tell whether the weight is zero by now."""
        return at(self.weight, signals.progress) == 0

    def weight_penalty(self, net: Net, state: dict[str, Any], signals: Signals) -> Tensor:
        """Return the weight times the distance, each weight by its importance."""
        return at(self.weight, signals.progress) * weighted_distance(state)

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the pretrained weights."""
        return net.pretrained_parameters()
