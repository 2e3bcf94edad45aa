"""Layers of a perceptron that follow each other, run by the native kernel where it can and by numpy elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from acclimate.engine.arrays.activations import Activation
from acclimate.engine.arrays.native.kernel import Program, kernel
from acclimate.engine.arrays.perceptron import Perceptron
from acclimate.engine.arrays.weights import Weights

Array = NDArray[Any]


class Span:
    """Some layers, which may be none: those put out what they are given."""

    def __init__(self, acts: Sequence[Activation | None], sources: Sequence[Weights]) -> None:
        """Take the weights from where the layers have them.

        Args:
            acts: of each layer.
            sources: of its weights.
        """
        self.net = net = Perceptron(acts, [s.weight for s in sources], [s.bias for s in sources])
        self._sources = tuple(sources)
        self._biases = [s.bias_gradient for s in sources]
        self.kernel = kernel() if sources and Program.fits(net) else None
        """What runs the passes, None where numpy does."""
        gradients = [(s.weight_gradient, s.bias_gradient, s.sums) for s in sources]
        self._program = Program(net, gradients) if self.kernel else None
        self.look()

    def look(self) -> None:
        """See which layers are trained now: no gradient is computed for the others."""
        self.into = [source.into(act) for source, act in zip(self._sources, self.net.acts, strict=True)]
        if self._program is not None:
            self._program.look([into is not None for into in self.into])

    def forward(self, x: Array, slot: int = 0) -> Array:
        """Return the outputs, (rows, out), in an array that the next pass of as many rows in that slot writes again."""
        if not self._sources:
            return x
        if self.kernel is None or self._program is None:
            return self.net.forward(x, slot)
        run, out = self._program.forward(x, slot)
        self.kernel.run(run)
        return out

    def backward(self, x: Array, gradient: Array, *, slot: int = 0, below: bool = False) -> Any:
        """Write the gradients of everything that the weights come from, and return that of `x` if it is wanted."""
        if not self._sources:
            return gradient if below else None
        if self.kernel is None or self._program is None:
            found = self.net.backward(x, gradient, self.into, self._biases, slot=slot, below=below)
        else:
            run, found = self._program.backward(x, gradient, slot, self._summed(), below=below)
            self.kernel.run(run)
        self._pull()
        return found

    def _summed(self) -> list[bool]:
        """Return of which layers only sums over rows are wanted in this pass."""
        return [callable(into) and source.summed() for source, into in zip(self._sources, self.into, strict=True)]

    def _pull(self) -> None:
        for source, trained in zip(self._sources, self.into, strict=True):
            if trained is not None:
                source.pull()

    def forward_beside(self, x: Array, other: Span, of_other: Array, slot: int = 0) -> tuple[Array, Array]:
        """Return the outputs of these layers and of others on as many rows."""
        if self.kernel is None or self._program is None or other.kernel is None or other._program is None:
            return self.forward(x, slot), other.forward(of_other, slot)
        (one, out), (two, more) = self._program.forward(x, slot), other._program.forward(of_other, slot)
        self.kernel.run(one, two)
        return out, more

    def backward_beside(
        self, x: Array, gradient: Array, other: Span, of_other: Array, gradient_of_other: Array, *, below: bool = False
    ) -> tuple[Any, Any]:
        """Go back through these layers and others, after `forward_beside` of the same rows; see `backward`."""
        if self.kernel is None or self._program is None or other.kernel is None or other._program is None:
            found = self.backward(x, gradient, below=below)
            return found, other.backward(of_other, gradient_of_other, below=below)
        one, found = self._program.backward(x, gradient, 0, self._summed(), below=below)
        two, more = other._program.backward(of_other, gradient_of_other, 0, other._summed(), below=below)
        self.kernel.run(one, two)
        self._pull()
        other._pull()
        return found, more

    def inward(self, gradient: Array, of: int, rows: Array, columns: slice) -> Array:
        """Return the gradient of some of the inputs of some rows, (chosen rows, chosen inputs); see `Perceptron`."""
        if self.kernel is None or self._program is None:
            return self.net.inward(gradient, of, rows, columns)
        run, found = self._program.inward(gradient, of, rows, columns)
        self.kernel.run(run)
        return found

    def inward_beside(
        self, other: Span, gradients: Sequence[Array], of: int, rows: Sequence[Array], columns: slice
    ) -> tuple[Array, Array]:
        """Return the same of these layers and of others, each for its own rows."""
        if self.kernel is None or self._program is None or other.kernel is None or other._program is None:
            spans = zip((self, other), gradients, rows, strict=True)
            one, two = (span.inward(gradient, of, chosen, columns) for span, gradient, chosen in spans)
            return one, two
        (first, found), (second, more) = (
            program.inward(gradient, of, chosen, columns)
            for program, gradient, chosen in zip((self._program, other._program), gradients, rows, strict=True)
        )
        self.kernel.run(first, second)
        return found, more
