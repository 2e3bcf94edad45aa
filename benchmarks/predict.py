"""Measure what an agent takes for one decision, beside SB3's own `predict` with the same normaliser.

    python -m benchmarks.predict                    # every case, then the table in docs/benchmarks.md
    python -m benchmarks.predict --no-table

Each round times both, one right after the other, so that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import acclimate as ac
from benchmarks.page import put

CALLS = 500
"""Of each side in a round."""
OFF_POLICY = {"buffer_size": 100}


@dataclass(frozen=True)
class Case:
    """An agent that decides."""

    name: str
    algorithm: type[Any]
    env: str
    deterministic: bool
    rows: int = 0
    """Of a batch; 0 is a single observation."""
    arguments: tuple[tuple[str, Any], ...] = ()


CASES = (
    Case("PPO 64x64, continuous, mode", PPO, "HalfCheetah-v5", True),
    Case("PPO 64x64, continuous, drawn", PPO, "HalfCheetah-v5", False),
    Case("PPO 64x64, discrete, mode", PPO, "CartPole-v1", True),
    Case("PPO 64x64, discrete, drawn", PPO, "CartPole-v1", False),
    Case("DQN 64x64", DQN, "CartPole-v1", True, 0, tuple(OFF_POLICY.items())),
    Case("SAC 256x256, mode", SAC, "HalfCheetah-v5", True, 0, tuple(OFF_POLICY.items())),
    Case("SAC 256x256, drawn", SAC, "HalfCheetah-v5", False, 0, tuple(OFF_POLICY.items())),
    Case("PPO 64x64, continuous, mode, 8 at once", PPO, "HalfCheetah-v5", True, 8),
)


def sides(case: Case) -> dict[str, Callable[[], Any]]:
    """Return what decides: SB3's `predict` after `VecNormalize`, and ours, on the same raw observations."""
    env = VecNormalize(DummyVecEnv([lambda: gym.make(case.env)]))
    model = case.algorithm("MlpPolicy", env, seed=0, device="cpu", **dict(case.arguments))
    agent = ac.load(model)
    if agent.normalizer is None:
        raise SystemExit(f"{case.name}: the agent has lost its normaliser")
    shape = env.observation_space.shape or ()
    obs = np.random.default_rng(0).normal(size=(case.rows, *shape) if case.rows else shape)
    return {
        "sb3": lambda: model.predict(env.normalize_obs(obs), deterministic=case.deterministic),
        "acclimate": lambda: agent.predict(obs, deterministic=case.deterministic),
    }


def measure(case: Case, rounds: int) -> dict[str, list[float]]:
    """Return the microseconds of a decision in each round, of both."""
    deciding = sides(case)
    found: dict[str, list[float]] = {name: [] for name in deciding}
    for turn in range(rounds + 1):
        for name, decide in deciding.items():
            begun = time.perf_counter()
            for _ in range(CALLS):
                decide()
            if turn:  # the first round warms up
                found[name].append((time.perf_counter() - begun) / CALLS * 1e6)
    return found


def line(case: Case, found: dict[str, list[float]]) -> str:
    """Return a row of the table: medians, and the ratio of each round with its lowest and highest."""
    ratios = np.array(found["sb3"]) / np.array(found["acclimate"])
    times = (f"{np.median(found[name]):.1f}" for name in ("sb3", "acclimate"))
    return f"| {case.name} | {' | '.join(times)} | {np.median(ratios):.1f} [{ratios.min():.1f}, {ratios.max():.1f}] |"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-table", action="store_true", help="print and write nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lines = ["| agent | SB3, us | acclimate, us | times as fast |", "|---|--:|--:|--:|"]
    for case in CASES:
        lines.append(line(case, measure(case, arguments.rounds)))
        print(lines[-1], flush=True)
    if not arguments.no_table:
        note = f"Median of {arguments.rounds} rounds of {CALLS} decisions, torch {torch.__version__}, one thread."
        put("predict", f"{note}\n\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
