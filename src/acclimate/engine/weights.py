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
from torch.nn import Parameter

from acclimate.closed import Add, closed
from acclimate.engine.flat import Flat
from acclimate.masks import Masked
from acclimate.surgery import Computing, computers

Array = NDArray[Any]


class Weights:
    """A plain layer's weight and bias, and their gradients, as views of the flat arrays."""

    def __init__(self, layer: nn.Linear, flat: Flat) -> None:
        self._parameters = list(layer.parameters())
        self.weight, self.weight_gradient = flat.value_of(layer.weight), flat.gradient_of(layer.weight)
        if layer.bias is None:
            self.bias = np.zeros(len(self.weight), self.weight.dtype)
            self.bias_gradient = np.empty_like(self.bias)
        else:
            self.bias, self.bias_gradient = flat.value_of(layer.bias), flat.gradient_of(layer.bias)

    @property
    def trained(self) -> bool:
        """Whether anything that the weights come from is trained."""
        return any(p.requires_grad for p in self._parameters)

    def compute(self) -> None:
        """Bring the arrays up to date before a pass."""

    def pull(self) -> None:
        """Carry the gradient on to what the weights are computed from, after a backward pass."""


class ComputedWeights(Weights):
    """The weights of a reparameterised layer."""

    def __init__(self, layer: Any, flat: Flat) -> None:
        self._layer, self._flat = layer, flat
        self._parameters = list(layer.parameters())
        with torch.no_grad():
            self.weight = layer.weight.detach().numpy().copy()
            bias = layer.bias
            self.bias = np.zeros(len(self.weight), self.weight.dtype) if bias is None else bias.detach().numpy().copy()
        self.weight_gradient, self.bias_gradient = np.empty_like(self.weight), np.empty_like(self.bias)
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
        trained = [p for p in self._parameters if p.requires_grad]
        if not self._computed or not trained:
            return
        tensors, gradients = zip(*self._computed, strict=True)
        pulled = torch.autograd.grad(tensors, trained, gradients, allow_unused=True)
        for parameter, gradient in zip(trained, pulled, strict=True):
            if gradient is not None:
                self._flat.gradient_of(parameter)[...] += gradient.numpy()


class ClosedWeights(Weights):
    """The weights of a reparameterised layer whose computation has a closed form in arrays."""

    def __init__(self, layer: Any, flat: Flat) -> None:
        self._parameters = list(layer.parameters())
        self._gradients = {parameter: flat.gradient_of(parameter) for parameter in self._parameters}
        self._weight = _Steps(layer, "weight", flat)
        self.weight, self.weight_gradient = self._weight.array, self._weight.gradient
        self._bias = None if layer.bias is None else _Steps(layer, "bias", flat)
        if self._bias is None:
            self.bias = np.zeros(len(self.weight), self.weight.dtype)
            self.bias_gradient = np.empty_like(self.bias)
        else:
            self.bias, self.bias_gradient = self._bias.array, self._bias.gradient

    def compute(self) -> None:
        """Compute weight and bias."""
        self._weight.compute()
        if self._bias is not None:
            self._bias.compute()

    def pull(self) -> None:
        """Add the gradient of the parameters that the weights are computed from."""
        self._weight.pull(self._add)
        if self._bias is not None:
            self._bias.pull(self._add)

    def _add(self, parameter: Parameter, gradient: Array) -> None:
        if parameter.requires_grad:
            self._gradients[parameter] += gradient


class _Steps:
    """One tensor of a layer and what it is computed from, step by step."""

    def __init__(self, layer: Any, tensor: str, flat: Flat) -> None:
        self._stored: Parameter = layer._parameters[tensor]
        self._modules: tuple[Any, ...] = computers(layer, tensor)
        first = flat.value_of(self._stored)
        self._arrays = [first, *(np.empty_like(first) for _ in self._modules)]
        self.array = self._arrays[-1]
        self.gradient = np.empty_like(first) if self._modules else flat.gradient_of(self._stored)

    def compute(self) -> None:
        for place, module in enumerate(self._modules):
            module.write(self._arrays[place], self._arrays[place + 1])

    def pull(self, add: Add) -> None:
        gradient, rest = self.gradient, len(self._modules)
        for place in range(rest - 1, -1, -1):
            module = self._modules[place]
            module.pull(self._arrays[place], gradient, add)
            if place or self._stored.requires_grad:
                gradient = module.below(gradient)
        if rest:
            add(self._stored, gradient)


def intrusion(policy: nn.Module) -> str | None:
    """Return what a method has put into a policy that arrays cannot run, None if nothing."""
    for module in policy.modules():
        if isinstance(module, Masked):
            return "weights or units that are drawn at random at each pass"
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
            return f"something that a method put into a {type(module).__name__}"
    return None


def weights_of(layer: nn.Module, flat: Flat) -> Weights:
    """Return the weights of a linear layer."""
    if not isinstance(layer, Computing):
        return Weights(layer, flat)  # type: ignore[arg-type]
    return ClosedWeights(layer, flat) if is_closed(layer) else ComputedWeights(layer, flat)


def is_closed(layer: nn.Module) -> bool:
    """Tell whether all that computes a layer's tensors has a closed form, which is that of training and evaluation."""
    return all(closed(module) for tensor in ("weight", "bias") for module in computers(layer, tensor))
