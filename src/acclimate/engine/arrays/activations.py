"""Activations in numpy: what they put out, and their derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from acclimate.engine.arrays.operators import RELU_BACK, operator

Array = NDArray[Any]

MANY = 8192
"""From about so many numbers on torch's loops are faster than numpy's; below, a call of torch costs more."""


@dataclass(frozen=True)
class Activation:
    """An activation and its derivative."""

    forward: Callable[[Array, Array], None]
    """Puts out in place; the second array, of the same shape, keeps what `backward` wants to know."""
    backward: Callable[[Array, Array, Array], None]
    """Multiplies a gradient (first) in place by the derivative, given the outputs (second) and what was kept."""
    keeps: bool = True
    """Whether `backward` reads what was kept."""
    passes: bool = False
    """Whether it puts out what it took wherever its derivative is not zero."""
    fused: str | None = None
    """oneDNN's name for it, by which a large product applies it on the way."""


def _tanh(x: Array, kept: Array) -> None:
    np.tanh(x, out=x)


def _tanh_back(gradient: Array, out: Array, kept: Array) -> None:
    slope = out * out
    np.subtract(1.0, slope, out=slope)
    gradient *= slope


def _relu(x: Array, kept: Array) -> None:
    if x.size < MANY:
        np.maximum(x, 0.0, out=x)
    else:
        torch.from_numpy(x).relu_()


def _relu_back(gradient: Array, out: Array, kept: Array) -> None:
    back: Any = None if out.size < MANY else operator(RELU_BACK)
    if back is None:
        gradient *= out > 0.0
    else:
        into = torch.from_numpy(gradient)
        back.grad_input(into, torch.from_numpy(out), 0, grad_input=into)


def _leave(x: Array, kept: Array) -> None:
    return None


def _leave_back(gradient: Array, out: Array, kept: Array) -> None:
    return None


_WRITTEN: dict[type[nn.Module], Activation] = {
    nn.Tanh: Activation(_tanh, _tanh_back, keeps=False),
    nn.ReLU: Activation(_relu, _relu_back, keeps=False, passes=True, fused="relu"),
    nn.Identity: Activation(_leave, _leave_back, keeps=False, passes=True),
}

_ELEMENTWISE = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.ReLU6,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softsign,
    nn.Tanhshrink,
)


def _by_torch(module: nn.Module) -> Activation:
    """Return an elementwise activation whose derivative autograd finds as it is computed."""

    def forward(x: Array, kept: Array) -> None:
        before = torch.from_numpy(x.copy()).requires_grad_()
        # Whoever calls may have switched gradients off.
        with torch.enable_grad():
            # What works in place must not change what the derivative is taken at.
            out = module(before.clone())
            (derivative,) = torch.autograd.grad(out.sum(), before)
        x[...] = out.detach().numpy()
        kept[...] = derivative.numpy()

    def backward(gradient: Array, out: Array, kept: Array) -> None:
        gradient *= kept

    return Activation(forward, backward)


def activation(module: nn.Module) -> Activation | None:
    """Return an activation module in numpy, None where it is no activation that acts on each number alone."""
    if type(module) in _ELEMENTWISE:
        return _by_torch(module)
    return _WRITTEN.get(type(module))
