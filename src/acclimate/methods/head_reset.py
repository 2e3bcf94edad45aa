"""Begin the last layer anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import Parameter

from acclimate.nets.initial import fresh
from acclimate.nets.net import Layer, Net
from acclimate.nets.seeding import generator
from acclimate.nets.select import Select
from acclimate.nets.surgery import stored
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals


@dataclass(frozen=True, kw_only=True)
class HeadReset(Method):
    """Draw the weights of the last layer anew before training, and keep the features below it.

    W_head, b_head <- as at the birth of such a network: orthogonal for PPO and A2C (with gain 1 for values, 0.01 for
    actions), uniform within 1 / sqrt(inputs) elsewhere. The target network gets the same; the optimizer forgets its
    moments of the head. Heads that are frozen stay as they are.

    The features of a value network can serve where its values do not: after a change in the scale of the rewards, for
    instance. It loses where the values still hold roughly, as in most changes of dynamics: what they told the actor is
    lost until the head is learnt again, so give the critic a warm-up. Never do it to a policy that should go on from
    where it is: in Farebrother, Machado and Bowling 2018 (arXiv:1810.00123) Q-networks whose upper layers began anew
    stayed far behind those that were kept whole.
    """

    name: ClassVar[str] = "head-reset"
    family: ClassVar[str] = "reset"
    preserves: ClassVar[bool] = False

    on: Select = Select("critic")
    """Whose heads. The `actor` and `q` can be named; then the agent begins as a beginner."""

    @torch.no_grad()
    def init(self, net: Net, context: Context) -> bool:
        """Draw the heads, and note that the optimizer has to forget them."""
        for place, layer in enumerate(_heads(net)):
            drawn = fresh(net, layer, generator(context.seed, net.role, place))
            for module in layer.pair:
                for name, parameter in stored(module).items():
                    parameter.copy_(drawn[name])
        return True

    def after(self, net: Net, state: bool, signals: Signals) -> bool:
        """Ask for the moments to be forgotten, once."""
        if state:
            signals.forget |= {p: torch.ones_like(p, dtype=torch.bool) for p in self.constrains(net)}
        return False

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the weights of the heads that were pretrained."""
        known = {id(parameter) for parameter in net.pretrained}
        return [p for layer in net.layers() if layer.head for p in layer.module.parameters() if id(p) in known]


def _heads(net: Net) -> list[Layer]:
    """Return the heads that are trained."""
    heads = [layer for layer in net.layers() if layer.head]
    return [head for head in heads if all(p.requires_grad for p in stored(head.module).values())]
