"""All trained numbers in one array, and their gradients in another, with the networks' tensors as views of them.

Each parameter begins at a line of the cache (`aligned`), so that gradients are written soonest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import Parameter

from acclimate.engine.arrays import aligned

Array = NDArray[Any]


class Flat:
    """Parameters that live side by side in one array, so that a step of the optimizer is a handful of calls.

    Each `Parameter` stays the same object with the same shape; only its storage moves. Whoever reads or writes it
    through torch, a method, a checkpoint or SB3, reads and writes the array.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        """Move the parameters; they are of one type and on the CPU."""
        self.parameters = tuple(parameters)
        dtype = self.parameters[0].detach().numpy().dtype
        self.slices: dict[Parameter, slice] = {}
        end = 0
        for parameter in self.parameters:
            begin = aligned.up(end, dtype)
            end = begin + parameter.numel()
            self.slices[parameter] = slice(begin, end)
        # What lies between two parameters is zero, and stays so in every step: its gradients are.
        self.values, self.gradient = (aligned.zeros((end,), dtype) for _ in range(2))
        self.moves = 0
        """How often the parameters' numbers were taken over."""
        self._gradients = {p: torch.from_numpy(self.gradient_of(p)) for p in self.parameters}
        self.bind()

    def value_of(self, parameter: Parameter) -> Array:
        """Return a view of a parameter's numbers in its shape."""
        return self.values[self.slices[parameter]].reshape(tuple(parameter.shape))

    def gradient_of(self, parameter: Parameter) -> Array:
        """Return a view of a parameter's gradient in its shape."""
        return self.gradient[self.slices[parameter]].reshape(tuple(parameter.shape))

    def runs(self, parameters: Iterable[Parameter]) -> list[slice]:
        """Return where parameters lie, given in the order that they have here, with neighbours as one."""
        found: list[slice] = []
        for place in (self.slices[parameter] for parameter in parameters):
            if found and self.touch(found[-1], place):
                found[-1] = slice(found[-1].start, place.stop)
            else:
                found.append(place)
        return found

    def touch(self, one: slice, other: slice) -> bool:
        """Tell whether nothing but padding lies between a place and a later one."""
        return aligned.up(one.stop, self.values.dtype) == other.start

    @property
    def bound(self) -> bool:
        """Whether the parameters still live here."""
        return [parameter.data_ptr() for parameter in self.parameters] == self._places

    def bind(self) -> None:
        """Take over the parameters' numbers and let them live here."""
        self.moves += 1
        for parameter in self.parameters:
            view = self.value_of(parameter)
            view[...] = parameter.detach().numpy()
            parameter.data = torch.from_numpy(view)
        self._places = [parameter.data_ptr() for parameter in self.parameters]

    def show_gradients(self) -> None:
        """Let `.grad` of each trained parameter be the view of its gradient here."""
        for parameter, gradient in self._gradients.items():
            parameter.grad = gradient if parameter.requires_grad else None

    def take_gradients(self) -> None:
        """Take in gradients that were replaced, and not changed in place, since they were shown."""
        for parameter, gradient in self._gradients.items():
            if parameter.grad is not None and parameter.grad is not gradient:
                gradient.copy_(parameter.grad)

    def vector(self) -> Array:
        """Return a new array that is laid out like the parameters' numbers, zero at first."""
        return np.zeros_like(self.values)
