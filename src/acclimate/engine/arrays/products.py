"""The matrix products of a perceptron: by numpy, or large ones by oneDNN, which torch brings along.

numpy's OpenBLAS uses half of a CPU's vector width where it is told to (OPENBLAS_CORETYPE) or takes the CPU for an older
one. oneDNN compiles its kernels for the CPU it runs on and is then up to twice as fast at large products; small ones it
takes ten microseconds to begin. Where OpenBLAS uses the whole width, it is as fast as oneDNN at all sizes, and its
threads gain more: then large products go to oneDNN only beside modules, which have torch's threads.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_info
from torch import Tensor

from acclimate.engine.arrays.operators import LINEAR, operator

Array = NDArray[Any]

MANY = 1 << 20
"""From about so many multiplications on a product is large; one of two arrays that lie across, from twice as many."""
FEW = 1 << 18
"""The same where torch has several threads: beyond this OpenBLAS starts its own, and two pools of threads that wait
for work slow each other."""

_WHOLE = {"SkylakeX", "Cooperlake", "SapphireRapids"}
"""What OpenBLAS calls the CPUs whose vectors of 512 bits it uses."""

BROAD = 1 << 19
"""A layer of so many weights takes numpy up to three times as long as oneDNN where rows are few."""


@cache
def _half() -> bool:
    """Tell whether numpy's products use half of a CPU's vectors of 512 bits."""
    numpys = [pool for pool in threadpool_info() if pool["internal_api"] == "openblas" and "numpy" in pool["filepath"]]
    return any(pool["architecture"] not in _WHOLE for pool in numpys)


def narrow() -> bool:
    """Tell whether large products go to oneDNN because it is faster at them than numpy."""
    return _half() and operator(LINEAR) is not None


def uses() -> tuple[str, ...]:
    """Return the operators that are not public and that products are likely to be made by here."""
    return (LINEAR,) if torch.get_num_threads() > 1 or _half() else ()


def _large(rows: int, between: int, columns: int, dtype: Any, most: int = MANY, *, broad: bool = False) -> bool:
    multiplications = rows * between * columns
    # What is small in any case is told first: most products are.
    if multiplications <= FEW or dtype != np.float32:
        return False
    # Trying the operator makes oneDNN write code for it: some 14 MiB, which whoever does not use it does not need.
    wanted = torch.get_num_threads() > 1 or ((broad or _half()) and multiplications > most)
    return wanted and operator(LINEAR) is not None


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, follow: str = "none") -> Tensor:
    """Return x W^T + b by oneDNN, which `_large` has found to be there."""
    run: Any = operator(LINEAR)
    return run(x, weight, bias, follow, [], "")


def affine(x: Array, weight: Array, bias: Array, out: Array, follow: str | None = None) -> tuple[Array, bool]:
    """Return x W^T + b, (rows, out), and whether an activation was applied to it.

    Args:
        x: (rows, in).
        weight: (out, in).
        bias: (out,).
        out: where a small product goes; of a large one oneDNN makes the array.
        follow: oneDNN's name of the activation, if it has one.
    """
    if _large(*x.shape, len(weight), out.dtype, broad=weight.size >= BROAD):
        tensors = (torch.from_numpy(array) for array in (x, weight, bias))
        return _linear(*tensors, follow or "none").numpy(), follow is not None
    np.matmul(x, weight.T, out=out)
    out += bias
    return out, False


def through(gradient: Array, weight: Array, out: Array) -> Array:
    """Return the gradient with respect to a layer's inputs, g W, (rows, in); a small one is written to `out`."""
    if gradient.shape[1] == 1:
        # numpy takes this for a matrix product, and is slow at it.
        return np.multiply(gradient, weight, out=out)
    if _large(*gradient.shape, weight.shape[1], out.dtype, broad=weight.size >= BROAD):
        return _linear(torch.from_numpy(gradient), torch.from_numpy(weight).t()).numpy()
    return np.matmul(gradient, weight, out=out)


def across(gradient: Array, x: Array, out: Array) -> None:
    """Write the gradient with respect to a layer's weight, g^T x, (out, in)."""
    if _large(*gradient.shape, x.shape[1], out.dtype, 2 * MANY):
        torch.from_numpy(out).copy_(_linear(torch.from_numpy(gradient).t(), torch.from_numpy(x).t()))
    else:
        np.matmul(gradient.T, x, out=out)
