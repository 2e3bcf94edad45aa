"""Weights as a network had them before any training."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from acclimate.nets.net import Layer, Net
from acclimate.nets.surgery import stored

_POLICY_HEAD = 0.01
"""The gain of the last layer of an orthogonal policy: its first actions are all alike."""


@torch.no_grad()
def fresh(net: Net, layer: Layer, generator: Generator) -> dict[str, Tensor]:
    """Draw a layer's `weight`, and its `bias` if it has one, as they are drawn for a new network of this kind.

    Networks of PPO and A2C begin with orthogonal rows, times the square root of 2 in hidden layers, and biases of 0.
    All others begin as PyTorch makes a layer: uniform within 1 / sqrt(inputs of a unit).
    """
    own = stored(layer.module)
    drawn = {name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in own.items()}
    if net.orthogonal:
        gain = math.sqrt(2.0) if not layer.head else _POLICY_HEAD if net.decides else 1.0
        nn.init.orthogonal_(drawn["weight"], gain, generator=generator)
    else:
        bound = 1.0 / math.sqrt(drawn["weight"][0].numel())
        for tensor in drawn.values():
            tensor.uniform_(-bound, bound, generator=generator)
    return {name: tensor.to(own[name].device) for name, tensor in drawn.items()}
