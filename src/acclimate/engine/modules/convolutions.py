"""Convolutions with their ReLU by oneDNN, in pieces of a few rows that stay in the cache.

Each piece goes through all convolutions before the next one is begun, with the channels of a pixel side by side, and
goes back by oneDNN's own kernels. Images stay the bytes that they are until their piece is begun, and no gradient is
computed for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from acclimate.engine.arrays.operators import CONVOLUTION, CONVOLUTION_BACK, RELU_BACK, operator
from acclimate.engine.modules.lookup import Chosen
from acclimate.engine.modules.stages import Stage, touched
from acclimate.nets.surgery import Computing

PIECE = 32
"""Rows of a piece."""

_LAST = torch.channels_last


class Convolution(Stage):
    """A convolution and the ReLU behind it."""

    looks_up = True

    def __init__(self, layer: Any, relu: nn.Module, scale: float = 1.0) -> None:
        """Take a layer.

        Args:
            layer: a convolution.
            relu: the module behind it.
            scale: factor of what it reads, where that are bytes.
        """
        super().__init__(layer, relu)
        self.layer, self.scale = layer, scale

    @classmethod
    def run(cls, stages: Sequence[Convolution], x: Chosen | Tensor) -> Tensor:
        """Return what convolutions that follow each other make of images, (rows, channels, height, width)."""
        tensors = [t for stage in stages for t in (stage.layer.weight, stage.layer.bias)]
        numbers = (x.source if isinstance(x, Chosen) else x).is_floating_point()
        pieces = _Pieces(x, 1.0 if numbers else stages[0].scale, [stage.geometry for stage in stages], tensors)
        if not torch.is_grad_enabled():
            return pieces.forward(keep=False)
        return _Convolve.apply(pieces, x if isinstance(x, Tensor) else None, *tensors)  # type: ignore[no-any-return]

    @staticmethod
    def fits(layer: nn.Module, relu: nn.Module) -> bool:
        """Tell whether two modules are these with nothing between them, and torch has what goes back through them."""
        stock = layer.stock if isinstance(layer, Computing) else type(layer)
        if stock is not nn.Conv2d or type(relu) is not nn.ReLU or touched(layer) or touched(relu):
            return False
        if layer.padding_mode != "zeros" or isinstance(layer.padding, str):  # type: ignore[union-attr]
            return False
        return operator(CONVOLUTION_BACK) is not None and operator(RELU_BACK) is not None

    @property
    def geometry(self) -> tuple[Any, ...]:
        """Padding, stride, dilation and groups, as oneDNN's operator takes them."""
        layer = self.layer
        return list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups


class _Pieces:
    """A pass in pieces."""

    def __init__(self, x: Chosen | Tensor, scale: float, geometries: Sequence[Any], tensors: Sequence[Any]) -> None:
        self.x, self.geometries = x.read() if isinstance(x, Chosen) else x.detach(), geometries
        weights = [w.detach() for w in tensors[::2]]
        # The factor is the first layer's: its weights are far fewer than the numbers of the images.
        self.scale = scale
        weights[0] = weights[0] * scale if scale != 1.0 else weights[0]
        self.weights = [w.contiguous(memory_format=_LAST) for w in weights]
        self.biases = [None if b is None else b.detach() for b in tensors[1::2]]
        self.outputs: list[list[Tensor]] = []

    def piece(self, begin: int) -> Tensor:
        """Return rows of the input as numbers."""
        some = self.x[begin : begin + PIECE]
        return some.to(self.weights[0].dtype).contiguous(memory_format=_LAST)

    def forward(self, *, keep: bool) -> Tensor:
        """Return the outputs; with `keep`, hold those of each convolution."""
        out: Any = None
        for begin in range(0, len(self.x), PIECE):
            x, outputs = self.piece(begin), []
            for weight, bias, geometry in zip(self.weights, self.biases, self.geometries, strict=True):
                x = _forward(x, weight, bias, geometry)
                outputs.append(x)
            if out is None:
                out = x.new_empty((len(self.x), *x.shape[1:]))
            out[begin : begin + PIECE] = x
            if keep:
                self.outputs.append(outputs)
        return out

    def backward(self, gradient: Tensor, wanted: Sequence[bool], below: bool) -> tuple[Tensor | None, list[Any]]:
        """Return the gradient of the input, if it is wanted, and those of weights and biases where they are."""
        found: list[Any] = [None] * (2 * len(self.weights))
        layers = [i for i in range(len(self.weights)) if wanted[2 * i] or wanted[2 * i + 1]]
        lowest = 0 if below else min(layers, default=len(self.weights))
        inward: list[Tensor] = []
        relu_back: Any = operator(RELU_BACK)
        for number, outputs in enumerate(self.outputs):
            begin = number * PIECE
            g = gradient[begin : begin + PIECE].contiguous(memory_format=_LAST)
            for i in range(len(self.weights) - 1, lowest - 1, -1):
                g = relu_back(g, outputs[i], 0)
                x = outputs[i - 1] if i else self.piece(begin)
                mask = [i > lowest or below, wanted[2 * i], wanted[2 * i + 1]]
                g, *more = _backward(g, x, self.weights[i], self.geometries[i], mask)
                for place, one in zip((2 * i, 2 * i + 1), more, strict=True):
                    if one is not None:
                        found[place] = one if found[place] is None else found[place].add_(one)
            if below:
                inward.append(g)
        if found[0] is not None and self.scale != 1.0:
            found[0] = found[0] * self.scale
        if not below:
            return None, found
        return torch.cat(inward) * self.scale, found


class _Convolve(torch.autograd.Function):
    """What autograd sees of a pass."""

    @staticmethod
    def forward(ctx: Any, pieces: _Pieces, x: Tensor | None, *tensors: Tensor | None) -> Tensor:
        ctx.pieces = pieces
        return pieces.forward(keep=True)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        wanted = ctx.needs_input_grad
        below, found = ctx.pieces.backward(gradient, wanted[2:], wanted[1])
        return (None, below, *found)


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Any) -> Tensor:
    padding, stride, dilation, groups = geometry
    fused = operator(CONVOLUTION) if x.dtype == torch.float32 else None
    if fused is not None:
        return fused(x, weight, bias, padding, stride, dilation, groups, "relu", [], "")
    return torch.conv2d(x, weight, bias, stride, padding, dilation, groups).relu_()


def _backward(g: Tensor, x: Tensor, weight: Tensor, geometry: Any, mask: list[bool]) -> Any:
    padding, stride, dilation, groups = geometry
    back: Any = operator(CONVOLUTION_BACK)
    return back(g, x, weight, [len(weight)], stride, padding, dilation, False, [0, 0], groups, mask)
