"""Who has the cores while perceptrons are trained: the kernel, numpy or torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from acclimate.engine import products
from acclimate.engine.native.kernel import Kernel


@contextmanager
def threads(built: Kernel | None) -> Iterator[None]:
    """Leave torch one thread, and the others to what computes the products: the kernel if it was built, else numpy.

    Threads of torch that wait awake for more to do would take the cores from those. numpy has its threads from the
    start (OMP_NUM_THREADS and the like) and starts as many as a product is worth.
    """
    usual = torch.get_num_threads()
    if usual == 1 or (built is None and products.NARROW):
        yield
        return
    if built is not None:
        built.threads = usual
    torch.set_num_threads(1)
    try:
        yield
    finally:
        if built is not None:
            built.threads = 1
        torch.set_num_threads(usual)
