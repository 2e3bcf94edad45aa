"""What each method costs an update, as a ratio to `full`: `make bench-methods`.

    python -m benchmarks.overhead                  # every method, then the table in docs/benchmarks.md
    python -m benchmarks.overhead --rounds 3 --only kl --no-table

Random buffers, one thread. A method and `full` are timed one right after the other, in rounds that go over all
methods, so that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import configure

from acclimate.errors import SurgeryError
from acclimate.methods.full import Full
from acclimate.nets.experience import Batch
from acclimate.registry import METHODS
from acclimate.seam.seam import Seam
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method
from benchmarks.instances import instance
from benchmarks.page import put

OBSERVATIONS, ACTIONS = 17, 6
"""As HalfCheetah's."""
STOCK = "stock SB3"


class Blank(gym.Env):
    """Has the spaces of HalfCheetah and nothing else."""

    observation_space = gym.spaces.Box(-10.0, 10.0, (OBSERVATIONS,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (ACTIONS,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(OBSERVATIONS, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.zeros(OBSERVATIONS, np.float32), 0.0, False, True, {}


def ppo() -> BaseAlgorithm:
    """Return a PPO agent of 64x64 with a full rollout of random steps."""
    model = PPO("MlpPolicy", Blank(), n_steps=2048, batch_size=64, n_epochs=1, seed=0, device="cpu")
    rng, buffer = np.random.default_rng(0), model.rollout_buffer
    buffer.observations[:] = rng.normal(size=buffer.observations.shape)
    with torch.no_grad():
        actions, values, likelihood = model.policy(torch.as_tensor(buffer.observations[:, 0]))
    buffer.actions[:, 0], buffer.values[:, 0] = actions.numpy(), values[:, 0].numpy()
    buffer.log_probs[:, 0] = likelihood.numpy()
    buffer.advantages[:] = rng.normal(size=buffer.advantages.shape)
    buffer.returns[:] = buffer.values + buffer.advantages
    buffer.full = True
    return model


def sac() -> BaseAlgorithm:
    """Return a SAC agent of 256x256 with a replay buffer of random steps."""
    model = SAC("MlpPolicy", Blank(), buffer_size=10_000, seed=0, device="cpu")
    rng, buffer = np.random.default_rng(0), model.replay_buffer
    for values in (buffer.observations, buffer.next_observations):
        values[:] = rng.normal(size=values.shape)
    buffer.actions[:] = rng.uniform(-1, 1, buffer.actions.shape)
    buffer.rewards[:] = rng.normal(size=buffer.rewards.shape)
    buffer.full = True
    return model


@dataclass(frozen=True)
class Kind:
    """One agent, and what counts as an update of it."""

    title: str
    make: Callable[[], BaseAlgorithm]
    arguments: dict[str, Any] = field(default_factory=dict)
    """Of `train`."""


KINDS = (
    Kind("PPO 64x64", ppo),
    Kind("SAC 256x256", sac, {"gradient_steps": 16, "batch_size": 256}),
)


@dataclass
class Timed:
    """One method on one agent."""

    update: Callable[[], None]
    setup: float
    """Seconds that putting it in took."""
    seconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)


def batch(rows: int) -> Batch:
    """Return random steps, as a method's own rollouts."""
    rng = np.random.default_rng(rows)
    seen, after = (torch.as_tensor(rng.normal(size=(rows, OBSERVATIONS)), dtype=torch.float32) for _ in range(2))
    actions = torch.as_tensor(rng.uniform(-1, 1, (rows, ACTIONS)), dtype=torch.float32)
    rewards = torch.as_tensor(rng.normal(size=rows), dtype=torch.float32)
    return Batch(seen, actions, rewards, after, torch.zeros(rows))


def context() -> Context:
    """Return what a method may ask for."""
    return Context(source=batch, target=batch, evaluate=lambda: (0.0, 0))


def prepare(kind: Kind, method: Method | None) -> Timed:
    """Put a method in, and return what makes an update with it; without one, that of stock SB3.

    Raises:
        SurgeryError: if it does not work on this agent.
    """
    model = kind.make()
    model._setup_learn(1_000_000)
    model.set_logger(configure(None, []))
    if method is None:
        return Timed(lambda: model.train(**kind.arguments), 0.0)
    begun = time.perf_counter()
    seam = Seam(model, method, context=context(), total_steps=1_000_000)
    took = time.perf_counter() - begun
    seam.__enter__()
    # Most of a run lies behind what a method does in its first steps alone.
    model.num_timesteps = 500_000

    def update() -> None:
        with seam.rollout():
            pass
        model.train(**kind.arguments)

    return Timed(update, took)


def clock(update: Callable[[], None]) -> float:
    """Return the seconds of one update."""
    begun = time.perf_counter()
    update()
    return time.perf_counter() - begun


def measure(kind: Kind, names: list[str], rounds: int) -> tuple[float, dict[str, Timed | str]]:
    """Return the median milliseconds of `full`, and each method's times or why it was refused."""
    full = prepare(kind, Full())
    found: dict[str, Timed | str] = {STOCK: prepare(kind, None)}
    for name in names:
        try:
            found[name] = prepare(kind, instance(name))
        except SurgeryError as error:
            found[name] = str(error)
    baseline = []
    for turn in range(rounds + 1):
        for timed in found.values():
            if isinstance(timed, str):
                continue
            # Which of the two goes first changes from round to round.
            pair = [(full, baseline), (timed, timed.seconds)]
            seconds = {}
            for one, kept in pair if turn % 2 else reversed(pair):
                seconds[id(one)] = clock(one.update)
                if turn:  # the first round warms up
                    kept.append(seconds[id(one)])
            if turn:
                timed.ratios.append(seconds[id(timed)] / seconds[id(full)])
    return 1000 * float(np.median(baseline)), found


def ratio(found: Timed | str) -> str:
    """Return the median ratio with its quartiles."""
    if isinstance(found, str):
        return "refused"
    low, middle, high = np.percentile(found.ratios, (25, 50, 75))
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def table(names: list[str], rounds: int) -> str:
    """Measure, and return the table."""
    columns = {}
    for kind in KINDS:
        columns[kind.title] = measure(kind, names, rounds)
        print(f"{kind.title}: full takes {columns[kind.title][0]:.0f} ms an update", flush=True)
    heads = [f"{title} ({full:.0f} ms)" for title, (full, _) in columns.items()]
    lines = [f"| method | {' | '.join(heads)} | set-up, ms |", f"|---|{'--:|' * (len(heads) + 1)}"]
    for name in (STOCK, *names):
        cells = [found[name] for _, found in columns.values()]
        setups = [1000 * cell.setup for cell in cells if isinstance(cell, Timed)]
        setup = "-" if not setups or name == STOCK else f"{max(setups):.0f}"
        lines.append(f"| {name if name == STOCK else f'`{name}`'} | {' | '.join(map(ratio, cells))} | {setup} |")
    return "\n".join(lines)


def main() -> None:
    """Measure the methods and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", action="append", choices=METHODS.names(), help="only these methods")
    parser.add_argument("--no-table", action="store_true", help="print and write nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    shown = table(arguments.only or [name for name in METHODS.names() if name != "full"], arguments.rounds)
    print(shown)
    if not arguments.no_table:
        note = f"Median of {arguments.rounds} rounds and quartiles, torch {torch.__version__}, one thread."
        put("overhead", f"{note}\n\n{shown}")


if __name__ == "__main__":
    main()
