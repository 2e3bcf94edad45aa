"""Does a kernel compute what the engine in Python computes?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import nn

from acclimate.engine.arrays.activations import activation
from acclimate.engine.arrays.native.kernel import Kernel, Program
from acclimate.engine.arrays.perceptron import Perceptron
from acclimate.errors import AcclimateError

_CLOSE = {np.float32: 1e-5, np.float64: 1e-12}


def check(path: Path) -> None:
    """Run a perceptron by a kernel and by numpy, with each of the kernel's activations, on odd and even sizes.

    Raises:
        AcclimateError: if the kernel cannot be loaded or they differ.
    """
    try:
        built = Kernel(path)
    except (OSError, AttributeError) as error:
        raise AcclimateError(f"{path} is no kernel ({error}); build it with another compiler, named in CC") from error
    for dtype, close in _CLOSE.items():
        for rows in (1, 3, 64, 129):
            apart = distance(built, rows, (5, 33, 64, 2), dtype)
            if not apart < close:
                what = f"{apart:.1e} for {np.dtype(dtype).name} and {rows} rows"
                raise AcclimateError(
                    f"the kernel differs from Python's engine by {what}; build it with another compiler, named in CC"
                )


def distance(built: Kernel, rows: int, sizes: tuple[int, ...], dtype: type, seed: int = 0) -> float:
    """Return how far the outputs and gradients of a random perceptron are from numpy's, over their largest number.

    Args:
        built: the kernel.
        rows: of the minibatch.
        sizes: of the input and of each layer; the activations take turns, the last layer has none.
        dtype: of all numbers.
        seed: of the weights and inputs.
    """
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(dtype)

    pairs = list(zip(sizes[1:], sizes, strict=False))
    weights, biases = [draw(*p) / dtype(np.sqrt(p[1])) for p in pairs], [draw(p[0]) for p in pairs]
    acts = [activation((nn.Tanh(), nn.ReLU())[i % 2]) for i in range(len(pairs) - 1)] + [None]
    x, gradient = draw(rows, sizes[0]), draw(rows, sizes[-1])

    def room() -> tuple[list[np.ndarray], list[np.ndarray]]:
        return [np.zeros_like(w) for w in weights], [np.zeros_like(b) for b in biases]

    theirs, ours = room(), room()
    net = Perceptron(acts, weights, biases)
    expected = net.forward(x).copy()
    below = net.backward(x, gradient.copy(), *theirs, below=True)
    program = Program(Perceptron(acts, weights, biases), [(*pair, None) for pair in zip(*ours, strict=True)])
    run, out = program.forward(x)
    built.run(run)
    found = out.copy()
    run, inputs = program.backward(x, gradient.copy(), below=True)
    built.run(run)
    compared = zip((expected, below, *theirs[0], *theirs[1]), (found, inputs, *ours[0], *ours[1]), strict=True)
    return max(float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30)) for a, b in compared)
