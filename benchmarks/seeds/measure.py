"""The measurements of several seeds at once: networks forward and back, and whole fine-tuning runs.

K networks go forward and back as one batched computation and one after another, as the engine would; K whole runs at
once, one on each core, and one after another. All ways take turns.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from acclimate.engine.arrays.activations import activation
from acclimate.engine.arrays.perceptron import Perceptron
from benchmarks.conditions import cores
from benchmarks.seeds.stacked import Stacked, StackedTorch

ROOT = Path(__file__).resolve().parents[2]
AGENT = ROOT / "benchmarks" / "agents" / "ppo-CartPole-v1-s0.zip"
STEPS = 8_000
RUN = ("finetune", str(AGENT), "--shift", "length=2", "-n", str(STEPS), "--no-progress")
TOGETHER = (2, 4, 8)
"""Networks, or runs."""
PASSES = 20
"""Of all networks, in a round."""
APART = "one after another"


@dataclass(frozen=True)
class Shape:
    """A network and its minibatch."""

    name: str
    rows: int
    units: tuple[int, ...]
    act: str


SHAPES = (
    Shape("64x64 of PPO on Hopper, 64 rows", 64, (11, 64, 64, 3), "tanh"),
    Shape("64x64 of PPO on CartPole, 256 rows", 256, (4, 64, 64, 2), "tanh"),
    Shape("256x256 of SAC's critic, 256 rows", 256, (23, 256, 256, 1), "relu"),
)
Ways = dict[str, Callable[[], None]]
Seconds = dict[str, list[float]]


class Networks:
    """K networks of a shape, one after another and stacked, with the same weights and rows."""

    def __init__(self, shape: Shape, together: int) -> None:
        """Draw weights and rows."""
        rng = np.random.default_rng(0)

        def drawn(*size: int) -> NDArray[np.float32]:
            return rng.normal(scale=0.1, size=size).astype(np.float32)

        names = [*[shape.act] * (len(shape.units) - 2), None]
        kinds = {"tanh": nn.Tanh(), "relu": nn.ReLU()}
        acts = [None if name is None else activation(kinds[name]) for name in names]
        self.x, self.gradient = (
            drawn(together, shape.rows, shape.units[0]),
            drawn(together, shape.rows, shape.units[-1]),
        )
        weights = [drawn(together, after, before) for before, after in pairwise(shape.units)]
        biases = [drawn(together, after) for after in shape.units[1:]]
        self.stacked = Stacked(acts, weights, biases)
        self.torch = StackedTorch(self.stacked, names)
        self.apart = [Perceptron(acts, [w[k] for w in weights], [b[k] for b in biases]) for k in range(together)]
        self.gradients = [
            ([np.empty_like(w[k]) for w in weights], [np.empty_like(b[k]) for b in biases]) for k in range(together)
        ]

    def one_after_another(self) -> None:
        """Take each forward and back."""
        for net, x, gradient, into in zip(self.apart, self.x, self.gradient, self.gradients, strict=True):
            net.forward(x)
            net.backward(x, gradient.copy(), *into)

    def by_numpy(self) -> None:
        """Take all at once."""
        self.stacked.forward(self.x)
        self.stacked.backward(self.x, self.gradient.copy())

    def by_torch(self) -> None:
        """Take all at once."""
        with torch.inference_mode():
            x = torch.from_numpy(self.x)
            self.torch.forward(x)
            self.torch.backward(x, torch.from_numpy(self.gradient.copy()))

    def ways(self) -> Ways:
        """Return the ways by name."""
        return {APART: self.one_after_another, "stacked, numpy": self.by_numpy, "stacked, torch": self.by_torch}


def in_turns(ways: Ways, rounds: int, passes: int = 1) -> Seconds:
    """Return the seconds that each way took in each round."""
    found: Seconds = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            begun = time.perf_counter()
            for _ in range(passes):
                run()
            found[name].append((time.perf_counter() - begun) / passes)
    return found


def times_as_fast(found: Seconds, name: str) -> str:
    """Return the ratio to one after another: median and quartiles."""
    low, middle, high = np.percentile(np.array(found[APART]) / np.array(found[name]), (25, 50, 75))
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def products(rounds: int) -> list[str]:
    """Return the table of the networks."""
    lines: list[str] = []
    for shape in SHAPES:
        for together in TOGETHER:
            ways = Networks(shape, together).ways()
            in_turns(ways, 1, PASSES)  # warms up
            found = in_turns(ways, rounds, PASSES)
            others = [name for name in found if name != APART]
            if not lines:
                heads = [f"{name}, times as fast" for name in others]
                lines = [f"| forward and back | K | {APART}, us | {' | '.join(heads)} |"]
                lines.append(f"|---|--:|--:|{'--:|' * len(others)}")
            ratios = " | ".join(times_as_fast(found, name) for name in others)
            lines.append(f"| {shape.name} | {together} | {np.median(found[APART]) * 1e6:.0f} | {ratios} |")
            print(lines[-1], flush=True)
    return lines


def finetune(seed: int) -> None:
    """Run the command in a process of its own, with as many threads as this one has.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    with tempfile.TemporaryDirectory() as room:
        command = [sys.executable, "-m", "acclimate", *RUN, "--seed", str(seed), "--out", f"{room}/run"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def runs(rounds: int) -> list[str]:
    """Return the table of whole runs."""

    def apart(together: int) -> None:
        for seed in range(together):
            finetune(seed)

    def at_once(together: int) -> None:
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(finetune, range(together)))

    name = f"{cores()} at a time"
    lines = [
        f"| `acclimate finetune`, PPO CartPole, {STEPS:,} steps | K | {APART}, s | {name}, times as fast |",
        "|---|--:|--:|--:|",
    ]
    for together in TOGETHER:
        ways: Ways = {APART: lambda k=together: apart(k), name: lambda k=together: at_once(k)}
        found = in_turns(ways, rounds)
        ratio = times_as_fast(found, name)
        lines.append(f"| wall time | {together} | {np.median(found[APART]):.1f} | {ratio} |")
        print(lines[-1], flush=True)
    return lines
