"""An optional kernel in C for the perceptrons of the engine: `acclimate native` builds it.

Nothing needs it. Where it was built, `kernel()` finds it, and a pass through a perceptron is one call, two of them run
on two cores.
"""

from acclimate.engine.arrays.native.kernel import Kernel, kernel

__all__ = ["Kernel", "kernel"]
