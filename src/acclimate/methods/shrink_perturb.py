"""Shrink the weights and add fresh ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import Parameter

from acclimate.errors import ConfigError
from acclimate.nets.initial import fresh
from acclimate.nets.net import Layer, Net
from acclimate.nets.seeding import generator
from acclimate.nets.select import Select
from acclimate.nets.surgery import stored
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals

_State = dict[str, int]


@dataclass(frozen=True, kw_only=True)
class ShrinkPerturb(Method):
    """Move the weights of layers towards a network that was just born: theta <- shrink * theta + perturb * theta_new.

    theta_new is drawn as the network's own layers began, biases included. It is done before training, and again after
    each `every` updates of the network. Both networks of a pair get the same theta_new; the optimizer forgets its
    moments. Frozen weights stay as they are, and so does what is no layer.

    Source: Ash and Adams 2020, "On Warm-Starting Neural Network Training" (arXiv:1910.08475), where the noise is normal
    with one size for all weights; here it has the size that each layer was born with. No value for fine-tuning agents
    is published: with 0.8 and 0.2 much of what the network knew is left, in a weaker voice.

    Use it on a critic that has stopped to learn. It loses where the pretrained function is right and only needs a
    little change, and on actors, which forget what they do.
    """

    name: ClassVar[str] = "shrink-perturb"
    family: ClassVar[str] = "reset"
    by_layer: ClassVar[bool] = True
    preserves: ClassVar[bool] = False

    shrink: float = 0.8
    """Factor of the weights that there are. Higher, up to 1: more is kept; 0 begins anew."""
    perturb: float = 0.2
    """Factor of the fresh weights. Higher: more of the network can be learnt anew, and more is lost."""
    every: int = 0
    """Updates of the network from one time to the next; 0 does it only before training."""
    on: Select = Select("critic")
    """Which networks or layers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.shrink <= 1.0:
            raise ConfigError(f"shrink-perturb.shrink is {self.shrink}; give a factor from 0 to 1, 0.8 for example")
        if self.perturb < 0.0:
            raise ConfigError(f"shrink-perturb.perturb is {self.perturb}; give a factor of 0 or more, 0.2 for example")
        if self.every < 0:
            raise ConfigError(f"shrink-perturb.every is {self.every}; give a number of updates, or 0 for once")

    def init(self, net: Net, context: Context) -> _State:
        """Do it once, and count updates from here."""
        state = {"seed": context.seed, "updates": 0, "times": 0}
        return self._again(net, state)

    def after(self, net: Net, state: _State, signals: Signals) -> _State:
        """Count an update, do it when its time has come, and let the optimizer forget what moved."""
        state = {**state, "updates": state["updates"] + 1}
        due = self.every > 0 and state["updates"] % self.every == 0
        if due:
            state = self._again(net, state)
        if due or state["updates"] == 1:
            moved = [p for layer in net.layers() for p in _trained(layer).values()]
            signals.forget |= {p: torch.ones_like(p, dtype=torch.bool) for p in moved}
        return state

    @torch.no_grad()
    def _again(self, net: Net, state: _State) -> _State:
        for place, layer in enumerate(net.layers()):
            drawn = fresh(net, layer, generator(state["seed"], net.role, state["times"], place))
            for name in _trained(layer):
                for module in layer.pair:
                    stored(module)[name].mul_(self.shrink).add_(drawn[name], alpha=self.perturb)
        return {**state, "times": state["times"] + 1}

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the pretrained weights of the layers."""
        known = {id(parameter) for parameter in net.pretrained}
        return [p for layer in net.layers() for p in layer.module.parameters() if id(p) in known]


def _trained(layer: Layer) -> dict[str, Parameter]:
    return {name: parameter for name, parameter in stored(layer.module).items() if parameter.requires_grad}
