"""Who has the cores while an agent is trained: the kernel, numpy, torch, or processes that step environments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

import torch
from stable_baselines3.common.vec_env import VecEnv
from threadpoolctl import ThreadpoolController
from torch import nn

from acclimate.engine.arrays import products
from acclimate.engine.arrays.native.kernel import Kernel
from acclimate.parallel.threads import torch_threads

SMALL = 1 << 22
"""Products of fewer multiplications are computed soonest by one thread of torch."""


@contextmanager
def threads(built: Kernel | None) -> Iterator[None]:
    """Leave the cores to what computes the products: the kernel if it was built, else numpy; others have one thread.

    Threads that wait awake for more to do would take the cores from those. numpy has its threads from the
    start (OMP_NUM_THREADS and the like) and starts as many as a product is worth.
    """
    usual = torch.get_num_threads()
    if usual == 1 or (built is None and products.narrow()):
        yield
        return
    pools = _numpys() if built is not None else []
    many = [pool.get_num_threads() for pool in pools]
    if built is not None:
        built.threads = usual
    for pool in pools:
        pool.set_num_threads(1)
    try:
        with torch_threads(1):
            yield
    finally:
        if built is not None:
            built.threads = 1
        for pool, before in zip(pools, many, strict=True):
            pool.set_num_threads(before)


def one() -> AbstractContextManager[None]:
    """Leave torch one thread.

    A thread that waits awake for its share of the next small operation takes a core from the environments.
    """
    return torch_threads(1)


def beside(env: VecEnv) -> AbstractContextManager[None]:
    """Leave torch the cores on which no other process steps environments meanwhile, and one in any case."""
    others = len(getattr(env.unwrapped, "processes", ()))
    return torch_threads(max(1, torch.get_num_threads() - others))


def are_small(networks: Iterable[nn.Module], rows: int) -> bool:
    """Tell whether several threads gain nothing in passes of so many rows: no convolutions, and few multiplications."""
    weights = [p for network in networks for p in network.parameters() if p.dim() > 1]
    return all(weight.dim() == 2 and rows * weight.numel() < SMALL for weight in weights)


@cache
def _numpys() -> list[Any]:
    """Return the pools of threads of the libraries that numpy may multiply with."""
    return ThreadpoolController().select(user_api="blas").lib_controllers
