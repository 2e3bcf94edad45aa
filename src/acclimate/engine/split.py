"""A perceptron whose first layers may be frozen, so that what they put out can be kept."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from torch.nn import Parameter

from acclimate.engine.mlp import Perceptron
from acclimate.engine.side import Side

Array = NDArray[Any]

WORTH = 64
"""How many multiplications each number that is kept has to save: fewer take no longer than to look it up."""


class Split(Side):
    """A side in two parts: the frozen first layers, as many as there are now, and those above."""

    cut: int = 0
    """How many layers the lower part has."""
    _high: Perceptron | None = None

    def look(self) -> None:
        """See which layers are trained now, and how many of the first ones are frozen."""
        super().look()
        cut = next((i for i, into in enumerate(self._weights) if into is not None), len(self._weights))
        weights = self._net.weights[:cut]
        if not cut or sum(weight.size for weight in weights) < WORTH * len(weights[-1]):
            cut = 0
        if cut != self.cut:
            self.cut = cut
            self._low, self._high = self._part(slice(cut)), self._part(slice(cut, None))

    def _part(self, layers: slice) -> Perceptron:
        net = self._net
        return Perceptron(net.acts[layers], net.weights[layers], net.biases[layers])

    @property
    def frozen(self) -> list[Parameter]:
        """The parameters of the lower part."""
        return [p for source in self._sources[: self.cut] for p in source.parameters]

    @property
    def units(self) -> int:
        """How many numbers the lower part puts out."""
        return len(self._net.biases[self.cut - 1])

    def lower(self, x: Array, slot: int = 0) -> Array:
        """Return what the frozen first layers put out, (rows, units), or `x` where there are none."""
        return self._low.forward(x, slot) if self.cut else x

    def upper(self, seen: Array, slot: int = 0) -> Array:
        """Return the outputs, (rows, out), given what `lower` returned."""
        if not self.cut or self._high is None:
            return self.forward(seen, slot)
        return self._high.forward(seen, slot) if self._high.acts else seen

    def back(self, seen: Array, gradient: Array, *, slot: int = 0) -> None:
        """Write the gradients of all that is trained, after `upper` of the same rows in that slot."""
        if not self.cut or self._high is None:
            self.backward(seen, gradient, slot=slot)
            return
        if self._high.acts:
            self._high.backward(seen, gradient, self._weights[self.cut :], self._biases[self.cut :], slot=slot)
        self._pull()
