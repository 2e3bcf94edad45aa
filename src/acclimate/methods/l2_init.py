"""Pull the weights towards those of a network that was just born."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter

from acclimate.errors import ConfigError
from acclimate.nets.initial import fresh
from acclimate.nets.net import Net
from acclimate.nets.seeding import generator
from acclimate.nets.select import Select
from acclimate.nets.surgery import stored
from acclimate.schedule import Schedule, at, span
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals


@dataclass(frozen=True, kw_only=True)
class L2Init(Method):
    """Add the squared distance to a fresh random initialisation to the loss.

    J(theta) + (weight / 2) * sum_i (theta_i - theta_init_i)^2, over the weights and biases of layers. theta_init is
    drawn once, as the network's own layers began before pretraining. It is NOT the pretrained theta0: `l2sp` pulls
    there.

    Weights that the loss does not care for drift back to where learning is easy, so that the network stays able to
    learn; those it does care for stay. Source: Kumar, Marklund and Van Roy 2023, "Maintaining Plasticity in Continual
    Learning via Regenerative Regularization" (arXiv:2308.11958), for networks that are trained from birth, whose own
    first weights are theta_init; those of a pretrained agent are not in its file, so others of their kind stand in.
    That makes the pull a forgetting one: small by default, and on critics.

    Use it in long runs, through many changes, where a critic stops to learn. It loses in short ones, where what was
    pretrained is the point: every unused weight is on its way back to noise.
    """

    name: ClassVar[str] = "l2-init"
    family: ClassVar[str] = "reset"
    by_layer: ClassVar[bool] = True

    weight: float | Schedule = 1e-3
    """Strength of the pull. Higher: abler to learn, and forgets more of what was pretrained. With Adam the pull is
    felt where the gradients of the loss are smaller than the weight times the distance."""
    on: Select = Select("critic|q")
    """Which networks or layers. On actors it forgets what they do."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if span(self.weight)[0] < 0:
            raise ConfigError(f"l2-init.weight is {self.weight}; a pull of less than 0 pushes away, give 0 or more")

    def init(self, net: Net, context: Context) -> dict[Parameter, Tensor]:
        """Return the weights of a network that was just born."""
        born: dict[Parameter, Tensor] = {}
        for place, layer in enumerate(net.layers()):
            drawn = fresh(net, layer, generator(context.seed, net.role, place))
            born |= {parameter: drawn[name] for name, parameter in stored(layer.module).items()}
        return born

    def idle(self, signals: Signals) -> bool:
        """Tell whether nothing is added to the loss."""
        return at(self.weight, signals.progress) == 0

    def weight_penalty(self, net: Net, state: dict[Parameter, Tensor], signals: Signals) -> Tensor:
        """Return half the weight times the squared distance."""
        distances = [(parameter - tensor).square().sum() for parameter, tensor in state.items()]
        return 0.5 * at(self.weight, signals.progress) * torch.stack(distances or [torch.zeros(())]).sum()

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the pretrained weights of the layers."""
        known = {id(parameter) for parameter in net.pretrained}
        return [p for layer in net.layers() for p in layer.module.parameters() if id(p) in known]
