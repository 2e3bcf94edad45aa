"""The weights that a layer works with, and where their gradient goes.

A plain layer works with its own parameters, which live in the flat array. A layer that a method has reparameterised
(`surgery.reparameterise`: channel scales, LoRA, DoRA) works with weights computed from others; its gradient is that of
the computed weights, pulled back through their computation: by its closed form where it has one, else by autograd.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from acclimate.engine.arrays import aligned
from acclimate.engine.arrays.activations import Activation
from acclimate.engine.arrays.flat import Flat
from acclimate.nets.masks import Masked

Array = NDArray[Any]


class Weights:
    """A plain layer's weight and bias, and their gradients, as views of the flat arrays."""

    sums: Array | None = None
    """(out,), room for sums over rows of gradient times output, where these can take the place of the gradient."""

    def __init__(self, layer: nn.Linear, flat: Flat) -> None:
        self.parameters = list(layer.parameters())
        self.weight, self.weight_gradient = flat.value_of(layer.weight), flat.gradient_of(layer.weight)
        if layer.bias is None:
            self.bias = np.zeros(len(self.weight), self.weight.dtype)
            self.bias_gradient = np.empty_like(self.bias)
        else:
            self.bias, self.bias_gradient = flat.value_of(layer.bias), flat.gradient_of(layer.bias)

    @property
    def trained(self) -> bool:
        """Whether anything that the weights come from is trained."""
        return any(p.requires_grad for p in self.parameters)

    def into(self, act: Activation | None) -> Any:
        """Return where the gradient of the weight goes (see `Perceptron.backward`), None if nothing of it is trained.

        Args:
            act: the activation that follows.
        """
        return self.weight_gradient if self.trained else None

    def summed(self) -> bool:
        """Tell whether `sums` are written in this pass back, and not the weight's gradient."""
        return False

    def compute(self) -> None:
        """Bring the arrays up to date before a pass."""

    def pull(self) -> None:
        """Carry the gradient on to what the weights are computed from, after a backward pass."""


class ComputedWeights(Weights):
    """The weights of a reparameterised layer."""

    def __init__(self, layer: Any, flat: Flat) -> None:
        self._layer, self._flat = layer, flat
        self.parameters = list(layer.parameters())
        with torch.no_grad():
            self.weight = layer.weight.detach().numpy().copy()
            bias = layer.bias
            self.bias = np.zeros(len(self.weight), self.weight.dtype) if bias is None else bias.detach().numpy().copy()
        self.weight_gradient = aligned.empty(self.weight.shape, self.weight.dtype)
        self.bias_gradient = np.empty_like(self.bias)
        self._computed: list[tuple[torch.Tensor, torch.Tensor]] = []

    def compute(self) -> None:
        """Compute weight and bias, and remember how."""
        pairs = [(self._layer.weight, self.weight, self.weight_gradient)]
        if self._layer.bias is not None:
            pairs.append((self._layer.bias, self.bias, self.bias_gradient))
        self._computed = []
        for tensor, array, gradient in pairs:
            array[...] = tensor.detach().numpy()
            if tensor.requires_grad:
                self._computed.append((tensor, torch.from_numpy(gradient)))

    def pull(self) -> None:
        """Write the gradient of the parameters that the weights are computed from."""
        trained = [p for p in self.parameters if p.requires_grad]
        if not self._computed or not trained:
            return
        tensors, gradients = zip(*self._computed, strict=True)
        pulled = torch.autograd.grad(tensors, trained, gradients, allow_unused=True)
        for parameter, gradient in zip(trained, pulled, strict=True):
            if gradient is not None:
                self._flat.gradient_of(parameter)[...] += gradient.numpy()


def intrusion(policy: nn.Module) -> str | None:
    """Return what a method has put into a policy that arrays cannot run, None if nothing."""
    for module in policy.modules():
        if isinstance(module, Masked):
            return "weights or units that are drawn at random at each pass"
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
            return f"something that a method put into a {type(module).__name__}"
    return None
