"""Let each output channel learn at a rate of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import Parameter

from acclimate.errors import ConfigError
from acclimate.nets.importance import channel_fisher, refuse_critics, rows
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals

State = dict[Parameter, tuple[Tensor, Tensor]]
"""The factors of each weight, one for each row, and the weight before the step at hand."""


@dataclass(frozen=True, kw_only=True)
class ChannelRates(Method):
    """Scale the way that each output channel c goes in a step: theta_c <- theta_c + f_c * (step(theta)_c - theta_c).

    f_c goes in equal steps from `least` for the channel of a layer that the policy depends on least to `most` for the
    one it depends on most; a layer's only channel has `most`. Channels are ranked by the Fisher information of the
    policy, summed over the row of the weight and the bias, on states of the pretrained policy. It is the movement that
    is scaled, and not the gradient: Adam divides by the size of the gradients, so that a factor on them cancels.

    This is a construction of this library, without a paper: per-channel learning rates as a softer `fisher-channels`.
    A tenth for the least is a guess. Use it with `most` above `least` and the target's states to change what decides
    in the new world, or with `least` above `most` and the source's states to protect what decided in the old one. It
    loses where channels that nobody reads yet have to become useful, and it costs speed: on the average a channel
    moves at half the rate, which a higher learning rate can make up for.
    """

    name: ClassVar[str] = "channel-rates"
    family: ClassVar[str] = "channel"
    by_layer: ClassVar[bool] = True
    lasting: ClassVar[bool] = False

    least: float = 0.1
    """Factor for the channel of least importance in its layer. Higher: it learns faster; 0 freezes it."""
    most: float = 1.0
    """Factor for the channel of most importance in its layer. Higher: it learns faster; 0 freezes it."""
    world: Literal["target", "source"] = "target"
    """Whose states the importance is measured on."""
    steps: int = 1000
    """Steps of the pretrained policy to measure on. More: a steadier ranking, for more of the run's steps."""
    temperature: float = 1.0
    """Of the softmax over action values, in units of value. Higher: differences of value count less. Q-networks
    only."""
    std: float = 0.2
    """Of the Gaussian around a single action, in units of the action; it does not change the ranking. TD3 and DDPG
    only."""
    on: Select = Select("actor|policy|q")
    """Which networks or layers; each network must put out a policy. The others, and what is no layer there, keep
    their rate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("least", "most"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConfigError(f"channel-rates.{name} is {getattr(self, name)}; give a factor of 0 or more")
        if self.least == self.most:
            raise ConfigError(
                f"channel-rates.least and channel-rates.most are both {self.most}; give two factors, or change the "
                "learning rate"
            )
        for name in ("steps", "temperature", "std"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"channel-rates.{name} is {getattr(self, name)}; give a number above 0")

    def inject(self, net: Net, context: Context) -> None:
        """Refuse critics."""
        refuse_critics(net, self.name)

    def init(self, net: Net, context: Context) -> State:
        """Return the factor of each row, and a place for the weights before a step."""
        batch = net.now((context.target if self.world == "target" else context.source)(self.steps))
        state: State = {}
        for layer, score in channel_fisher(net, batch, temperature=self.temperature, std=self.std):
            rank = score.argsort(stable=True).argsort(stable=True).to(score)
            share = rank / (len(score) - 1) if len(score) > 1 else torch.ones_like(score)
            factors = self.least + (self.most - self.least) * share
            for p in rows(layer):
                state[p] = (factors.view(-1, *(1,) * (p.dim() - 1)), p.detach().clone())
        return state

    @torch.no_grad()
    def gradient(self, net: Net, state: State, signals: Signals) -> None:
        """Remember the weights: only the way of this step is scaled, and not what happened between two steps."""
        for parameter, (_, before) in state.items():
            before.copy_(parameter)

    @torch.no_grad()
    def after(self, net: Net, state: State, signals: Signals) -> State:
        """Go the chosen part of the way."""
        for parameter, (factors, before) in state.items():
            if parameter.requires_grad:
                parameter.copy_(torch.lerp(before, parameter, factors.expand_as(before)))
        return state

    def keeps(self, net: Net, state: State) -> dict[Parameter, int]:
        """Return how many numbers have the factor 0."""
        return {p: int((factors.expand_as(before) == 0).sum()) for p, (factors, before) in state.items()}

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the weights and biases of the layers."""
        return [parameter for layer in net.layers() for parameter in rows(layer)]
