"""Measure how fast the engine trains agents through their own modules beside Stable-Baselines3: images, and dropout.

    python -m benchmarks.visual                       # every work
    OMP_NUM_THREADS=2 python -m benchmarks.visual --work frozen --rounds 7

Images need ale-py and opencv-python-headless, which nothing else here does. Both sides train the same agent in the same
environments in one process, one after the other in each round.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack

from acclimate.config import write_atomic
from acclimate.engine.choice import attach
from acclimate.method import Method
from acclimate.methods.dropout import Dropout
from acclimate.methods.freeze import Freeze
from acclimate.methods.full import Full
from acclimate.seam import Seam

CELLS = Path(__file__).resolve().parent / "results" / "engine"


@dataclass(frozen=True)
class Work:
    """An agent in training, with a method that both sides apply."""

    name: str
    make: Callable[[], Any]
    method: Method
    steps: int
    """Of each side in a round."""
    seam: bool = False
    """Whether SB3 trains inside of the seam, because the method is more than what is frozen."""


def atari() -> Any:
    """Return PPO with NatureCNN on eight Breakouts, by the RL Zoo's hyperparameters for Atari."""
    import ale_py
    import gymnasium as gym

    gym.register_envs(ale_py)
    env = VecFrameStack(make_atari_env("BreakoutNoFrameskip-v4", n_envs=8, seed=0), 4)
    usual = {"n_steps": 128, "n_epochs": 4, "batch_size": 256, "learning_rate": 2.5e-4, "clip_range": 0.1}
    return PPO("CnnPolicy", env, ent_coef=0.01, vf_coef=0.5, device="cpu", seed=0, **usual)


def hopper() -> Any:
    """Return PPO on eight Hoppers."""
    return PPO("MlpPolicy", make_vec_env("Hopper-v5", 8, seed=0), n_steps=256, device="cpu", seed=0)


WORKS = (
    Work("PPO NatureCNN, Breakout, 8 environments", atari, Full(), 1_024),
    Work("PPO NatureCNN, Breakout, 8 environments, frozen trunk", atari, Freeze(on="trunk"), 1_024),
    Work("PPO Hopper-v5, 8 environments, dropout", hopper, Dropout(), 2_048, seam=True),
)


def measure(work: Work, rounds: int) -> dict[str, Any]:
    """Return the seconds of each round, of SB3 and ours."""
    models = {"sb3": work.make(), "acclimate": work.make()}
    seams = {name: Seam(model, work.method) for name, model in models.items()}
    taken, why = attach(seams["acclimate"], PPO, "auto")
    if taken != "acclimate":
        raise SystemExit(f"{work.name}: {why}")
    for name, seam in seams.items():
        if name == "acclimate" or work.seam:
            seam.__enter__()
    wall: dict[str, list[float]] = {name: [] for name in models}
    for number in range(rounds + 1):
        for name, model in models.items():
            begun = time.perf_counter()
            model.learn(work.steps, reset_num_timesteps=False)
            if number:
                wall[name].append(time.perf_counter() - begun)
    for seam in seams.values():
        seam.detach()
    return {"case": work.name, "steps": work.steps, "threads": torch.get_num_threads(), "wall": wall}


def said(cell: dict[str, Any]) -> str:
    """Return a cell in words: steps a second of both sides, and the ratio with its spread."""
    seconds = {name: np.array(each) for name, each in cell["wall"].items()}
    rates = {name: f"{cell['steps'] / np.median(each):,.0f}" for name, each in seconds.items()}
    ratio = seconds["sb3"] / seconds["acclimate"]
    return (
        f"{cell['case']}, {cell['threads']} thread(s): {rates['sb3']} -> {rates['acclimate']} steps/s, "
        f"{np.median(ratio):.2f} [{ratio.min():.2f}, {ratio.max():.2f}] times as fast, {len(ratio)} rounds"
    )


def main() -> None:
    """Measure the chosen works."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="", help="only works whose name contains this")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    for work in WORKS:
        if arguments.work.lower() not in work.name.lower():
            continue
        cell = measure(work, arguments.rounds)
        CELLS.mkdir(parents=True, exist_ok=True)
        name = "-".join("".join(c if c.isalnum() else " " for c in work.name).lower().split())
        write_atomic(CELLS / f"{name}-{cell['threads']}.json", json.dumps(cell, indent=1) + "\n")
        print(said(cell))


if __name__ == "__main__":
    main()
