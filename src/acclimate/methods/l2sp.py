"""Pull the weights towards those they were pretrained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter

from acclimate.errors import ConfigError
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.schedule import Schedule, at, span
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals


@dataclass(frozen=True, kw_only=True)
class L2SP(Method):
    """Add the squared distance to the pretrained weights theta0 to the loss.

    Coupled:   J(theta) + (weight / 2) * sum_i (theta_i - theta0_i)^2
    Decoupled: after each step  theta_i <- theta_i - lr * weight * (theta_i - theta0_i)

    Source: Li, Grandvalet and Davoine 2018, "Explicit Inductive Bias for Transfer Learning with Convolutional
    Networks" (arXiv:1802.01483). What methods add to a network has no pretrained value and is left alone.

    The coupled penalty competes with the gradient of the loss, so its strength depends on the scale of the
    loss and on gradient clipping, and Adam divides it by the size of the recent gradients; the decoupled
    pull, as AdamW's decay, does not: it forgets the way gone with a time constant of 1 / (lr * weight) steps.
    """

    name: ClassVar[str] = "l2sp"
    family: ClassVar[str] = "regularisation"

    weight: float | Schedule = 0.1
    """Strength of the pull. Higher: closer to the pretrained weights, less forgetting, slower adaptation.
    With gradients clipped to norm 0.5 over 10,000 weights one weight's gradient is about 0.005, which 0.1
    balances at a distance of 0.05."""
    decoupled: bool = False
    """Pull after the step and not through the loss. Then 1.0 is a mild weight at learning rates about
    3e-4."""
    on: Select = Select("*")
    """Which weights are pulled. Fewer: the rest adapts freely."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if span(self.weight)[0] < 0:
            raise ConfigError(f"l2sp.weight is {self.weight}; a pull of less than 0 pushes away, give 0 or more")

    def init(self, net: Net, context: Context) -> dict[Parameter, Tensor]:
        """Return the pretrained weights."""
        return {p: p.detach().clone() for p in net.pretrained_parameters()}

    def idle(self, signals: Signals) -> bool:
        """Tell whether nothing is added to the loss."""
        return self.decoupled or at(self.weight, signals.progress) == 0

    def weight_penalty(self, net: Net, state: dict[Parameter, Tensor], signals: Signals) -> Tensor:
        """Return half the weight times the squared distance."""
        distance = torch.stack([(p - anchor).square().sum() for p, anchor in state.items()]).sum()
        return 0.5 * at(self.weight, signals.progress) * distance

    @torch.no_grad()
    def after(self, net: Net, state: dict[Parameter, Tensor], signals: Signals) -> dict[Parameter, Tensor]:
        """Pull, if decoupled."""
        if self.decoupled:
            pull = min(signals.learning_rate * at(self.weight, signals.progress), 1.0)
            for parameter, anchor in state.items():
                if parameter.requires_grad:
                    parameter.lerp_(anchor, pull)
        return state

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the pretrained weights."""
        return net.pretrained_parameters()
