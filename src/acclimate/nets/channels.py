"""The output channels of layers, and how much what a policy does depends on each."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Parameter

from acclimate.errors import SurgeryError
from acclimate.nets.experience import Batch
from acclimate.nets.importance import fisher_diagonal
from acclimate.nets.net import Layer, Net


def rows(layer: Layer) -> list[Parameter]:
    """Return the stored weight and bias of a layer; their first dimension is that of its output channels."""
    stored = (layer.module._parameters.get(name) for name in ("weight", "bias"))
    return [parameter for parameter in stored if parameter is not None]


def channel_fisher(net: Net, batch: Batch, *, temperature: float, std: float) -> list[tuple[Layer, Tensor]]:
    """Return each layer in view with the Fisher information of the policy, (out,), summed over a channel's weights.

    Args:
        net: a network that puts out a policy.
        batch: states as the network reads them now.
        temperature: of the softmax over action values, in units of value.
        std: of the normal distribution around a single action, in units of the action.
    """
    fisher = fisher_diagonal(net, batch, temperature=temperature, std=std)
    return [
        (layer, torch.stack([fisher[p].reshape(len(p), -1).sum(1) for p in rows(layer)]).sum(0))
        for layer in net.layers()
    ]


def refuse_critics(net: Net, name: str) -> None:
    """Refuse a network that puts out no policy, which has no Fisher information.

    Raises:
        SurgeryError: naming the method.
    """
    if not net.puts_out_policy:
        raise SurgeryError(
            f"`{name}` on `{net.role}`: it ranks channels by the Fisher information of a policy, and this network "
            "puts out none; choose the actor, or a Q-network"
        )
