"""A wide linear layer with its ReLU, recorded by autograd and computed by oneDNN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from acclimate.engine.arrays.operators import RELU_BACK, operator
from acclimate.engine.arrays.products import across, affine, through
from acclimate.engine.modules.stages import Stage, touched
from acclimate.nets.surgery import Computing

WIDE = 1 << 17
"""From about so many weights on torch's own products are slower than what is gained by recording less."""


class Wide(Stage):
    """A wide linear layer and the ReLU behind it."""

    def __init__(self, layer: Any, relu: nn.Module) -> None:
        super().__init__(layer, relu)
        self.layer = layer

    @staticmethod
    def fits(layer: nn.Module, relu: nn.Module) -> bool:
        """Tell whether two modules are these and nothing stands between them."""
        stock = layer.stock if isinstance(layer, Computing) else type(layer)
        if stock is not nn.Linear or type(relu) is not nn.ReLU or touched(layer) or touched(relu):
            return False
        return layer._parameters["bias"] is not None and layer._parameters["weight"].numel() >= WIDE  # type: ignore[union-attr]

    @classmethod
    def run(cls, stages: Sequence[Wide], x: Tensor) -> Tensor:
        """Return what layers that follow each other make of an input, (rows, out)."""
        for stage in stages:
            x = _Affine.apply(x.contiguous(), stage.layer.weight, stage.layer.bias)  # type: ignore[assignment]
        return x


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        room = np.empty((len(x), len(weight)), x.detach().numpy().dtype)
        out, done = affine(x.detach().numpy(), weight.detach().numpy(), bias.detach().numpy(), room, "relu")
        made = torch.from_numpy(out)
        if not done:
            made.relu_()
        ctx.save_for_backward(x, weight, made)
        return made

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, out = ctx.saved_tensors
        relu_back = operator(RELU_BACK)
        g = gradient * (out > 0) if relu_back is None else relu_back(gradient, out, 0)
        below, of_weight, of_bias = ctx.needs_input_grad
        arrays = g.numpy(), x.detach().numpy(), weight.detach().numpy()
        inward = torch.from_numpy(through(arrays[0], arrays[2], np.empty_like(arrays[1]))) if below else None
        found = torch.empty_like(weight) if of_weight else None
        if found is not None:
            across(arrays[0], arrays[1], found.numpy())
        return inward, found, g.sum(0) if of_bias else None
