"""Shrink the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter

from acclimate.errors import ConfigError
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.schedule import Schedule, at, span
from acclimate.tuning.method import Method, Signals


@dataclass(frozen=True, kw_only=True)
class L2(Method):
    """Pull the weights towards zero.

    Coupled:   J(theta) + (weight / 2) * sum_i theta_i^2
    Decoupled: after each step  theta_i <- theta_i - lr * weight * theta_i

    Source: Farebrother, Machado and Bowling 2018, "Generalization and Regularization in DQN" (arXiv:1810.00123),
    with 1e-4; decoupled as in Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization"
    (arXiv:1711.05101). What methods add to a network is left alone.

    Farebrother et al. decayed the weights in the training *before* fine-tuning; that it helps while fine-tuning is
    not what they show. Use it where a long run lets the weights grow; it loses where the pretrained behaviour is
    worth keeping, because it pulls away from the pretrained weights: `l2sp` pulls towards them.

    Under Adam the coupled penalty is divided by the size of the recent gradients, so a weight with small gradients
    shrinks faster; the decoupled decay shrinks all by the same share.
    """

    name: ClassVar[str] = "l2"
    family: ClassVar[str] = "regularisation"

    weight: float | Schedule = 1e-4
    """Strength of the pull. Higher: smaller weights, more forgetting. 1e-4 belongs to the coupled penalty."""
    decoupled: bool = False
    """Shrink after the step and not through the loss. Then 0.01, PyTorch's own for AdamW, is a usual weight."""
    on: Select = Select("*:*weight")
    """Which weights shrink. Biases are left out as usual, and so is the log std of PPO and A2C, which would not
    shrink to nothing but to a std of 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if span(self.weight)[0] < 0:
            raise ConfigError(f"l2.weight is {self.weight}; a decay of less than 0 lets weights grow, give 0 or more")

    def idle(self, signals: Signals) -> bool:
        """Tell whether nothing is added to the loss."""
        return self.decoupled or at(self.weight, signals.progress) == 0

    def weight_penalty(self, net: Net, state: Any, signals: Signals) -> Tensor:
        """Return half the weight times the squared norm."""
        norm = torch.stack([p.square().sum() for p in net.pretrained_parameters()]).sum()
        return 0.5 * at(self.weight, signals.progress) * norm

    @torch.no_grad()
    def after(self, net: Net, state: Any, signals: Signals) -> Any:
        """Shrink, if decoupled."""
        if self.decoupled:
            share = min(signals.learning_rate * at(self.weight, signals.progress), 1.0)
            for parameter in net.pretrained_parameters():
                if parameter.requires_grad:
                    parameter.mul_(1.0 - share)
        return state

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the pretrained weights."""
        return net.pretrained_parameters()
