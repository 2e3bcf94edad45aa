"""The weights of a reparameterised layer whose computation has a closed form in arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn import Parameter

from acclimate.engine.arrays import aligned
from acclimate.engine.arrays.activations import Activation
from acclimate.engine.arrays.flat import Flat
from acclimate.engine.arrays.products import across
from acclimate.engine.arrays.weights import Weights
from acclimate.nets.closed_form import Form, RowForm, closed
from acclimate.nets.surgery import computers

Array = NDArray[Any]

NEAR_ZERO = 1e-2
"""A scale below this is not divided by."""


class ClosedWeights(Weights):
    """Weight and bias, computed step by step."""

    def __init__(self, layer: Any, flat: Flat) -> None:
        """Take the layer apart; `is_closed` has said that it can be."""
        self.parameters = list(layer.parameters())
        self._weight = _Steps(layer, "weight", flat)
        self.weight, self.weight_gradient = self._weight.array, self._weight.gradient
        self._bias = None if layer.bias is None else _Steps(layer, "bias", flat)
        if self._bias is None:
            self.bias = np.zeros(len(self.weight), self.weight.dtype)
            self.bias_gradient = np.empty_like(self.bias)
        else:
            self.bias, self.bias_gradient = self._bias.array, self._bias.gradient
        self.sums = np.empty_like(self.bias)
        self._summed = False

    def into(self, act: Activation | None) -> Any:
        """Return where the weight's gradient goes: only its sums over rows, where nothing else of it is wanted.

        Of y = scale * (W0 x) + b the gradient at a scale is the sum of g * (y - b) over the minibatch, divided by that
        scale: the matrix g^T x, as large as all of W0, is not needed. For that y has to be known where g is not zero.
        """
        found = super().into(act)
        passes = act is None or act.passes
        if found is None or not passes or self._weight.stored.requires_grad or self._weight.scale is None:
            return found
        return self._take

    def summed(self) -> bool:
        """Tell whether `sums` are written in this pass back, and not the weight's gradient."""
        scale = self._weight.scale
        self._summed = scale is not None and float(np.abs(scale).min()) > NEAR_ZERO
        return self._summed

    def _take(self, gradient: Array, outputs: Array, x: Array) -> None:
        if self.summed():
            np.einsum("rc,rc->c", gradient, outputs, out=self.sums)
        else:
            across(gradient, x, self.weight_gradient)

    def compute(self) -> None:
        """Compute weight and bias."""
        self._weight.compute()
        if self._bias is not None:
            self._bias.compute()

    def pull(self) -> None:
        """Add the gradient of the parameters that the weights are computed from."""
        if self._summed:
            self._weight.pull_sums(self.sums - self.bias * self.bias_gradient)
        else:
            self._weight.pull()
        self._summed = False
        if self._bias is not None:
            self._bias.pull()


class _Steps:
    """One tensor of a layer and what it is computed from."""

    def __init__(self, layer: Any, tensor: str, flat: Flat) -> None:
        self.stored: Parameter = layer._parameters[tensor]
        first = flat.value_of(self.stored)
        modules: Any = computers(layer, tensor)
        self._forms: list[Form] = [module.form(first, flat.value_of, flat.gradient_of) for module in modules]
        self._arrays = [first, *(np.empty_like(first) for _ in modules)]
        self.array = self._arrays[-1]
        self._at_stored = flat.gradient_of(self.stored)
        self.gradient = aligned.empty(first.shape, first.dtype) if self._forms else self._at_stored
        one = self._forms[0] if len(self._forms) == 1 else None
        self.scale = one.scale if isinstance(one, RowForm) else None
        """The scale of its rows, (out, 1), if that is all that it is computed by."""

    def compute(self) -> None:
        for place, form in enumerate(self._forms):
            form.write(self._arrays[place], self._arrays[place + 1])

    def pull(self) -> None:
        gradient, trained = self.gradient, self.stored.requires_grad
        for place in range(len(self._forms) - 1, -1, -1):
            form = self._forms[place]
            form.pull(self._arrays[place], gradient)
            if place or trained:
                gradient = form.below(gradient)
        if self._forms and trained:
            self._at_stored += gradient

    def pull_sums(self, sums: Array) -> None:
        """The same from sum over the minibatch of g * scale * (W0 x), (out,)."""
        (form,) = self._forms
        form.at_scale[...] += sums / form.scale[:, 0]


def is_closed(layer: nn.Module) -> bool:
    """Tell whether all that computes a layer's tensors has a closed form, which is that of training and evaluation."""
    return all(closed(module) for tensor in ("weight", "bias") for module in computers(layer, tensor))
