"""Measure a pass through two perceptrons, forward and back, by numpy and by the kernel on one thread and on several.

    acclimate native && python -m benchmarks.kernel

Each round takes every way once, so that what else the machine does falls on all. numpy has the threads that
OMP_NUM_THREADS gives it, one by default.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from torch import nn

from acclimate.engine.arrays.flat import Flat
from acclimate.engine.arrays.native import kernel
from acclimate.engine.arrays.native.kernel import Kernel
from acclimate.engine.arrays.perceptron import dense_layers
from acclimate.engine.arrays.side import Side
from acclimate.engine.threads import threads

SHAPES = {
    "PPO CartPole": (256, (4, 64, 64, 2), nn.Tanh),
    "PPO Hopper": (64, (11, 64, 64, 3), nn.Tanh),
    "PPO HalfCheetah": (64, (17, 256, 256, 6), nn.ReLU),
    "twin critics of SAC": (256, (23, 256, 256, 1), nn.ReLU),
    "twin critics of TD3": (256, (14, 400, 300, 1), nn.ReLU),
}
"""Rows of a minibatch, units, activation."""
PASSES = 50
"""In a round."""


def side(units: tuple[int, ...], act: type[nn.Module]) -> Side:
    """Return a perceptron."""
    layers: list[nn.Module] = []
    for before, after in pairwise(units):
        layers += [nn.Linear(before, after), act()]
    layers = layers[:-1]
    found = dense_layers(layers)
    if isinstance(found, str):
        raise TypeError(found)
    return Side(found, Flat([p for layer in layers for p in layer.parameters()]))


def ways(rows: int, units: tuple[int, ...], act: type[nn.Module], built: Kernel) -> dict[str, Callable[[], None]]:
    """Return what passes forward and back, by name."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, units[0])).astype(np.float32)
    gradients = [rng.normal(size=(rows, units[-1])).astype(np.float32) for _ in range(2)]
    pairs = {name: (side(units, act), side(units, act)) for name in ("numpy", "kernel")}
    for one in pairs["numpy"]:
        one.whole.kernel = None

    def passes(name: str, several: int) -> None:
        built.threads = several
        one, other = pairs[name]
        with threads(None):
            one.forward_beside(other, x)
            one.backward_beside(other, x, *(gradient.copy() for gradient in gradients))

    several = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = {
        "numpy": ("numpy", 1),
        "kernel, 1 thread": ("kernel", 1),
        f"kernel, {several} threads": ("kernel", several),
    }
    return {name: partial(passes, *how) for name, how in found.items()}


def measure(run: dict[str, Callable[[], None]], rounds: int) -> dict[str, Any]:
    """Return microseconds of a pass forward and back, of each round."""
    taken: dict[str, list[float]] = {name: [] for name in run}
    for _ in range(rounds + 1):
        for name, passes in run.items():
            begun = time.perf_counter()
            for _ in range(PASSES):
                passes()
            taken[name].append((time.perf_counter() - begun) / PASSES * 1e6)
    return {name: np.array(each[1:]) for name, each in taken.items()}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    built = kernel()
    if built is None:
        raise SystemExit("the kernel is not built here; `acclimate native` builds it")
    for name, (rows, units, act) in SHAPES.items():
        taken = measure(ways(rows, units, act, built), rounds)
        said = [f"{way} {np.median(us):.0f} us [{us.min():.0f}, {us.max():.0f}]" for way, us in taken.items()]
        print(f"{name} ({rows} rows, {'-'.join(map(str, units))}): " + "; ".join(said))


if __name__ == "__main__":
    main()
