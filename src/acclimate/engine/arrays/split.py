"""A perceptron whose first layers may be frozen, so that what they put out can be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray
from torch.nn import Parameter

from acclimate.engine.arrays.flat import Flat
from acclimate.engine.arrays.perceptron import Dense
from acclimate.engine.arrays.side import Side
from acclimate.engine.arrays.span import Span

Array = NDArray[Any]

WORTH = 64
"""How many multiplications each number that is kept has to save: fewer take no longer than to look it up."""


class Split(Side):
    """A side in two parts: the frozen first layers, as many as there are now, and those above."""

    cut: int = 0
    """How many layers the lower part has."""
    worth: int = WORTH
    """How many multiplications each number has to save."""
    most: int | None = None
    """How many numbers the lower part may put out for a row; of what puts out more, fewer layers are kept apart."""

    def __init__(self, layers: tuple[Dense, ...], flat: Flat) -> None:
        """Take the weights from where the layers have them; where the kernel was built, it runs what it can."""
        super().__init__(layers, flat)
        self._low: Span = self._part(slice(0))
        self._high: Span = self.whole
        self.look()

    def look(self) -> None:
        """See which layers are trained now, and how many of the first ones are frozen."""
        super().look()
        cut = self._frozen_layers()
        if cut != self.cut:
            self.cut = cut
            self._low = self._part(slice(cut))
            self._high = self._part(slice(cut, None)) if cut else self.whole
        self._high.look()

    def _frozen_layers(self) -> int:
        """Return after how many layers to cut: the last place that is worth it."""
        weights = self.whole.net.weights
        cut = next((i for i in range(len(weights)) if not self._fixed(i)), len(weights))
        while cut and not self._pays(weights[:cut]):
            cut -= 1
        return cut

    def _fixed(self, layer: int) -> bool:
        """Tell whether nobody trains a layer."""
        return self.whole.into[layer] is None

    def _pays(self, weights: tuple[Array, ...]) -> bool:
        units = len(weights[-1])
        fits = self.most is None or units <= self.most
        return fits and sum(weight.size for weight in weights) >= self.worth * units

    @property
    def frozen(self) -> list[Parameter]:
        """The parameters of the lower part."""
        return [p for source in self._sources[: self.cut] for p in source.parameters]

    @property
    def units(self) -> int:
        """How many numbers the lower part puts out."""
        return len(self.whole.net.biases[self.cut - 1])

    def lower(self, x: Array, slot: int = 0) -> Array:
        """Return what the frozen first layers put out, (rows, units), or `x` where there are none."""
        return self._low.forward(x, slot)

    def upper(self, seen: Array, slot: int = 0) -> Array:
        """Return the outputs, (rows, out), given what `lower` returned."""
        return self._high.forward(seen, slot)

    def back(self, seen: Array, gradient: Array, *, slot: int = 0) -> None:
        """Write the gradients of all that is trained, after `upper` of the same rows in that slot."""
        self._high.backward(seen, gradient, slot=slot)

    def upper_beside(self, seen: Array, other: Split, of_other: Array) -> tuple[Array, Array]:
        """Return the outputs of this perceptron and of another on as many rows, given what their `lower` returned."""
        return self._high.forward_beside(seen, other._high, of_other)

    def back_beside(
        self, seen: Array, gradient: Array, other: Split, of_other: Array, gradient_of_other: Array
    ) -> None:
        """Write the gradients of both, after `upper_beside` of the same rows."""
        self._high.backward_beside(seen, gradient, other._high, of_other, gradient_of_other)


class Resting(Split):
    """A target network, whose first layers are fixed once they have come to rest."""

    def __init__(self, layers: tuple[Dense, ...], flat: Flat, rests: Callable[[Parameter], bool]) -> None:
        """Take the weights from where the layers have them.

        Args:
            layers: of the network.
            flat: where their parameters live.
            rests: tells whether a parameter stays as it is until the target moves again.
        """
        self._rests = rests
        super().__init__(layers, flat)

    def _fixed(self, layer: int) -> bool:
        return all(map(self._rests, self._sources[layer].parameters))
