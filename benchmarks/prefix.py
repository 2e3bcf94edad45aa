"""Measure what it is worth to keep what frozen first layers put out: ours with it and without it, and SB3.

    python -m benchmarks.prefix                       # every case, and the table in docs/benchmarks.md
    python -m benchmarks.prefix --case SAC --rounds 5 # one case, printed only

All sides freeze the same layers of the same agent. They train in one process and take turns, a round each.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium as gym
import numpy as np
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from acclimate.engine.arrays.native import kernel
from acclimate.engine.choice import attach
from acclimate.files.atomic import write_atomic
from acclimate.methods.freeze import Freeze
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method
from benchmarks.page import put
from benchmarks.peers import stock, workload

RESULTS = Path(__file__).resolve().parent / "results" / "prefix.json"
SIDES = {"sb3": "SB3", "anew": "acclimate, nothing kept", "kept": "acclimate"}


@dataclass(frozen=True)
class Case:
    """An agent of which a part is frozen."""

    name: str
    make: Callable[[], Any]
    method: Method
    steps: int
    """Of each side in a round."""
    first: int = 0
    """Steps before the first round: what fills the replay buffer."""


class Pictures(gym.Env):
    """Shows one random picture after another, which costs nothing: all the time that is taken is that of training."""

    observation_space = gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)

    def __init__(self, actions: gym.Space) -> None:
        """Draw the pictures; actions change nothing."""
        self.action_space = actions
        self._rng = np.random.default_rng(0)
        self._pictures = self._rng.integers(0, 256, (64, *self.observation_space.shape), np.uint8)
        self._taken = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode of 200 steps."""
        self._taken = 0
        return self._pictures[0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Show another picture, for a random reward."""
        self._taken += 1
        seen = self._pictures[self._rng.integers(len(self._pictures))]
        return seen, float(self._rng.normal()), False, self._taken == 200, {}


def vectors(work: workload.Workload) -> Any:
    """Return a model of vectors."""
    algorithms = {"ppo": sb3.PPO, "sac": sb3.SAC, "td3": sb3.TD3, "dqn": sb3.DQN}
    return stock.make(work, algorithms, {"tanh": nn.Tanh, "relu": nn.ReLU}[work.activation])


def images(algorithm: type[Any], actions: gym.Space) -> Any:
    """Return a model with NatureCNN and an update of 32 images a step."""
    replay = {"learning_starts": 100, "buffer_size": 5_000, "train_freq": 1, "gradient_steps": 1, "batch_size": 32}
    env = DummyVecEnv([lambda: Pictures(actions)])
    return algorithm("CnnPolicy", env, device="cpu", seed=0, **replay)


def dqn() -> Any:
    """Return DQN on images."""
    return images(sb3.DQN, gym.spaces.Discrete(4))


def sac() -> Any:
    """Return SAC on images."""
    return images(sb3.SAC, gym.spaces.Box(-1.0, 1.0, (3,), np.float32))


FIRST, BELOW = Freeze(on="*:*.0.*"), Freeze(on=("*:*.0.*", "*:*.2.*"))
CASES = (
    Case("PPO Hopper-v5, first layers frozen", lambda: vectors(workload.HOPPER), FIRST, 2_048),
    Case("PPO HalfCheetah-v5, 256 units, first layers frozen", lambda: vectors(workload.CHEETAH), FIRST, 1_024),
    Case("PPO HalfCheetah-v5, 256 units, all but the heads frozen", lambda: vectors(workload.CHEETAH), BELOW, 1_024),
    Case("PPO HalfCheetah-v5, 256 units, actor frozen", lambda: vectors(workload.CHEETAH), Freeze(on="actor"), 1_024),
    Case("SAC HalfCheetah-v5, first layers frozen", lambda: vectors(workload.SAC), FIRST, 150, 400),
    Case("SAC HalfCheetah-v5, all but the heads frozen", lambda: vectors(workload.SAC), BELOW, 150, 400),
    Case("DQN LunarLander-v3, all but the head frozen", lambda: vectors(workload.DQN), BELOW, 500, 400),
    Case("DQN NatureCNN, extractor frozen", dqn, Freeze(on="q:features_extractor"), 60, 500),
    Case("SAC NatureCNN, extractors frozen", sac, Freeze(on="*:features_extractor"), 15, 150),
)


def forget(engine: Any) -> None:
    """Let an engine keep nothing of frozen first layers."""
    update = engine._update
    for side in (getattr(update.oracle, name) for name in ("actor", "critic")) if hasattr(update, "oracle") else ():
        side.worth = math.inf
    replay = getattr(update, "replay", None)
    # What a target network puts out between two of its moves is kept whatever is frozen.
    other = getattr(update, "best", getattr(update, "_best", None))
    for recall in () if replay is None else replay.recalls:
        if recall is not other:
            recall.begin = lambda: None


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Return the seconds of each side in each round, and what the engine says that it keeps."""
    models, seams, said = {}, [], ""
    for side in SIDES:
        models[side] = model = case.make()
        seam = Seam(model, case.method)
        taken, why = attach(seam, type(model), "sb3" if side == "sb3" else "auto")
        if (taken == "sb3") != (side == "sb3"):
            raise SystemExit(f"{case.name}: {why}")
        if side == "anew":
            forget(seam.engine)
        said = why.partition("; ")[2]
        seams.append(seam)
        seam.__enter__()
        model.learn(case.first + case.steps)
    wall: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side, model in models.items():
            begun = time.perf_counter()
            model.learn(case.steps, reset_num_timesteps=False)
            wall[side].append(time.perf_counter() - begun)
    for seam in seams:
        seam.detach()
    return {"case": case.name, "steps": case.steps, "kept": said, "wall": wall}


def _ratio(cell: dict[str, Any], other: str) -> str:
    each = np.array(cell["wall"][other]) / np.array(cell["wall"]["kept"])
    return f"{np.median(each):.2f} [{each.min():.2f}, {each.max():.2f}]"


def row(cell: dict[str, Any]) -> str:
    """Return a line of the table."""
    rates = [f"{cell['steps'] / np.median(cell['wall'][side]):,.0f}" for side in SIDES]
    found = [cell["case"], *rates, _ratio(cell, "anew"), _ratio(cell, "sb3"), str(len(cell["wall"]["kept"]))]
    return "| " + " | ".join(found) + " |"


def table(cells: list[dict[str, Any]]) -> str:
    """Return the table with what each case keeps."""
    head = [*(f"{name}, steps/s" for name in SIDES.values()), "over nothing kept", "over SB3", "rounds"]
    lines = ["| case | " + " | ".join(head) + " |", "|---|" + "--:|" * len(head), *map(row, cells), ""]
    lines += [f"- {cell['case']}: {cell['kept'] or 'nothing is kept, it would not pay'}." for cell in cells]
    built = "" if kernel() else "not "
    return "\n".join([*lines, "", f"Measured with {torch.get_num_threads()} thread(s), the kernel {built}built."])


def main() -> None:
    """Measure the chosen cases; the table is written when all were."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="", help="only cases whose name contains this")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    cells = []
    for case in CASES:
        if arguments.case.lower() in case.name.lower():
            cells.append(measure(case, arguments.rounds))
            print(row(cells[-1]), flush=True)
    if not arguments.case:
        write_atomic(RESULTS, json.dumps(cells, indent=1) + "\n")
        put("prefix", table(cells))


if __name__ == "__main__":
    main()
