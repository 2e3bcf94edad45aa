"""Train the output channels that matter most in the new world."""

from __future__ import annotations

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
"""The frozen rows of each weight, and what stands in them."""


@dataclass(frozen=True, kw_only=True)
class FisherChannels(Method):
    """Train the rows W_c, b_c of the most important output channels c, and keep all others bit for bit.

    importance_c = sum_{i in W_c, b_c} F_i, with F the diagonal of the policy's Fisher information, exact and averaged
    over the first states that the pretrained policy meets in the target world. The rows that are kept get no
    gradient, and what moments of before or weight decay do to them is taken back after each step.

    Source: after Sung, Nair and Raffel 2021, "Training Neural Networks with Fixed Sparse Masks" (arXiv:2111.09839),
    which takes single weights where this takes channels, and supervised labels; nothing on reinforcement learning is
    known. A tenth is a guess. The Fisher information asks what moves the policy most, not what is wrong with it: use
    it to change little, and compare it with `freeze`. It loses where units have to become useful that the policy does
    not use yet: a ReLU unit that is dead in the new world has importance 0. Each state takes one backward pass for
    every parameter of the distribution, and the states count as steps of the run.
    """

    name: ClassVar[str] = "fisher-channels"
    family: ClassVar[str] = "channel"
    by_layer: ClassVar[bool] = True
    lasting: ClassVar[bool] = False

    share: float = 0.1
    """Share of the channels to train, one at least. Higher: more can change, more is forgotten."""
    within: Literal["network", "layer"] = "network"
    """Take this share of all channels of a network, which favours the layers with the largest information, its last
    most often, or of each layer."""
    steps: int = 1000
    """Steps of the pretrained policy in the target world to estimate from. More: a steadier choice, for more of the
    run's steps."""
    temperature: float = 1.0
    """Of the softmax over action values, in units of value. Higher: differences of value count less. Q-networks
    only."""
    std: float = 0.2
    """Of the Gaussian around a single action, in units of the action. It scales all channels alike. TD3 and DDPG
    only."""
    on: Select = Select("actor|policy|q")
    """Which networks or layers; each network must put out a policy. What is not chosen, and what is no layer there,
    trains on as it is: the critic, and the `trunk` of an image agent unless it is named."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.share <= 1.0:
            raise ConfigError(f"fisher-channels.share is {self.share}; give a share in (0, 1], 0.1 for example")
        for name in ("steps", "temperature", "std"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"fisher-channels.{name} is {getattr(self, name)}; give a number above 0")

    def inject(self, net: Net, context: Context) -> None:
        """Refuse critics."""
        refuse_critics(net, self.name)

    def init(self, net: Net, context: Context) -> State:
        """Return the rows that are to stay as they are."""
        batch = net.now(context.target(self.steps))
        found = channel_fisher(net, batch, temperature=self.temperature, std=self.std)
        scores = [score for _, score in found]
        groups = [scores] if self.within == "network" else [[score] for score in scores]
        kept = [where for group in groups for where in _others(group, self.share)]
        frozen = {p: where for (layer, _), where in zip(found, kept, strict=True) for p in rows(layer)}
        return {p: (where, p.detach()[where].clone()) for p, where in frozen.items()}

    def gradient(self, net: Net, state: State, signals: Signals) -> None:
        """Take the gradient of the frozen rows away."""
        for parameter, (where, _) in state.items():
            if parameter.grad is not None:
                parameter.grad[where] = 0.0

    @torch.no_grad()
    def after(self, net: Net, state: State, signals: Signals) -> State:
        """Take back what decay and old moments did to the frozen rows."""
        for parameter, (where, values) in state.items():
            parameter[where] = values
        return state

    def keeps(self, net: Net, state: State) -> dict[Parameter, int]:
        """Return how many numbers the frozen rows have."""
        return {parameter: values.numel() for parameter, (_, values) in state.items()}

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the weights and biases of the layers."""
        return [parameter for layer in net.layers() for parameter in rows(layer)]


def _others(scores: list[Tensor], share: float) -> list[Tensor]:
    """Return for each layer which of its channels are not among the share with the highest scores."""
    if not scores:
        return []
    flat = torch.cat(scores)
    count = max(1, round(share * len(flat)))
    best = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    best[flat.argsort(descending=True, stable=True)[:count]] = True
    return [(~part).nonzero()[:, 0] for part in best.split([len(score) for score in scores])]
