"""Weights as a network had them before any training."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from acclimate.net import Layer, Net
from acclimate.surgery import stored

_POLICY_HEAD = 0.01
"""The gain of the last layer of an orthogonal policy: its first actions are all alike."""


@torch.no_grad()
def fresh(net: Net, layer: Layer, generator: Generator) -> dict[str, Tensor]:
    """Draw a layer's `weight`, and its `bias` if it has one, as they are drawn for a new network of this kind.

    Networks of PPO and A2C begin with orthogonal rows, times the square root of 2 in hidden layers, and biases of 0.
    All others begin as PyTorch makes a layer: uniform within 1 / sqrt(inputs of a unit).
    """
    weight, bias = (stored(layer.module, name) for name in ("weight", "bias"))
    drawn = {"weight": torch.empty(weight.shape, dtype=weight.dtype)}  # type: ignore[union-attr]
    if bias is not None:
        drawn["bias"] = torch.zeros(bias.shape, dtype=bias.dtype)
    if net.orthogonal:
        gain = math.sqrt(2.0) if not layer.head else _POLICY_HEAD if net.decides else 1.0
        nn.init.orthogonal_(drawn["weight"], gain, generator=generator)
    else:
        bound = 1.0 / math.sqrt(drawn["weight"][0].numel())
        for tensor in drawn.values():
            tensor.uniform_(-bound, bound, generator=generator)
    return {name: tensor.to(weight.device) for name, tensor in drawn.items()}  # type: ignore[union-attr]
