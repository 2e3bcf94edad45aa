"""Measure how fast the engine trains beside Stable-Baselines3's own training: environment steps a second, end to end.

    python -m benchmarks.engine                      # every case, then the table in docs/benchmarks.md
    python -m benchmarks.engine --case "SAC" --rounds 9
    python -m benchmarks.engine --table              # the table alone

Both train the same agent in the same process, one after the other in each round, so that what else the machine does
falls on both. The zoo's agent needs ACCLIMATE_ZOO.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.vec_env import DummyVecEnv

import acclimate as ac
from acclimate.config import write_atomic
from acclimate.engine.choice import attach
from acclimate.methods.full import Full
from acclimate.seam import Seam
from acclimate.task import Task

ROOT = Path(__file__).resolve().parent.parent
CELLS = ROOT / "benchmarks" / "results" / "engine"
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- engine: begin -->", "<!-- engine: end -->"


@dataclass(frozen=True)
class Case:
    """An agent in training."""

    name: str
    make: Callable[[], Any]
    steps: int
    """Of each engine in a round."""
    first: int = 0
    """Steps before the first round: what fills the replay buffer."""


def _envs(env: str, n: int) -> DummyVecEnv:
    return Task(env).vector(n, seed=0)  # type: ignore[return-value]


def _off_policy(algorithm: type, env: str, **arguments: Any) -> Any:
    usual = {"learning_starts": 300, "buffer_size": 100_000, "train_freq": 1, "gradient_steps": 1}
    return algorithm("MlpPolicy", _envs(env, 1), device="cpu", seed=0, **{**usual, **arguments})


def _ppo(env: str, n: int, **arguments: Any) -> Any:
    return PPO("MlpPolicy", _envs(env, n), device="cpu", seed=0, **arguments)


def _cheetah() -> Any:
    """Return the zoo's agent with its normaliser and what its `config.yml` says."""
    from benchmarks.rows import _normalised

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agent = ac.load(Path(os.environ["ACCLIMATE_ZOO"]) / "ppo/HalfCheetah-v3_1/HalfCheetah-v3.zip")
    env = _normalised(agent, _envs("HalfCheetah-v5", 1), True)
    model = agent.blueprint.build(env=env, seed=0, verbose=0, learning_rate=2.0633e-05, clip_range=0.1)
    model.policy.load_state_dict(agent.model.policy.state_dict())
    return model


_CARTPOLE = {
    "n_steps": 32,
    "batch_size": 256,
    "n_epochs": 20,
    "gae_lambda": 0.8,
    "gamma": 0.98,
    "ent_coef": 0.0,
    "learning_rate": 0.001,
}
CASES = (
    Case("SAC HalfCheetah-v5", lambda: _off_policy(SAC, "HalfCheetah-v5"), 150, 400),
    Case("TD3 Hopper-v5", lambda: _off_policy(TD3, "Hopper-v5"), 150, 400),
    Case(
        "DQN LunarLander-v3",
        lambda: _off_policy(DQN, "LunarLander-v3", batch_size=128, policy_kwargs={"net_arch": [256, 256]}),
        500,
        400,
    ),
    Case("PPO CartPole-v1, 8 environments", lambda: _ppo("CartPole-v1", 8, **_CARTPOLE), 2_048),
    Case("PPO Hopper-v5, 8 environments", lambda: _ppo("Hopper-v5", 8, n_steps=256), 2_048),
    Case("PPO HalfCheetah-v5, an agent of the zoo", _cheetah, 512),
)


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Return the seconds of each round, of SB3 and ours."""
    models = {"sb3": case.make(), "acclimate": case.make()}
    seams = {name: Seam(model, Full()) for name, model in models.items()}
    taken = attach(seams["acclimate"], type(models["acclimate"]), "auto")
    if taken[0] != "acclimate":
        raise SystemExit(f"{case.name}: {taken[1]}")
    wall: dict[str, list[float]] = {name: [] for name in models}
    cpu: dict[str, list[float]] = {name: [] for name in models}
    seams["acclimate"].__enter__()
    for model in models.values():
        model.learn(case.first + case.steps)
    for _ in range(rounds):
        for name, model in models.items():
            begun, used = time.perf_counter(), time.process_time()
            model.learn(case.steps, reset_num_timesteps=False)
            wall[name].append(time.perf_counter() - begun)
            cpu[name].append(time.process_time() - used)
    seams["acclimate"].detach()
    return {"case": case.name, "steps": case.steps, "threads": torch.get_num_threads(), "wall": wall, "cpu": cpu}


def path_of(case: str) -> Path:
    """Return where a case's figures lie."""
    return CELLS / f"{'-'.join(''.join(c if c.isalnum() else ' ' for c in case).lower().split())}.json"


@dataclass(frozen=True)
class Ratio:
    """How many times as fast ours is, over rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: dict[str, list[float]]) -> Ratio:
        """Return the ratio of each round's seconds."""
        each = np.array(seconds["sb3"]) / np.array(seconds["acclimate"])
        return cls(float(np.median(each)), float(each.min()), float(each.max()))

    def __str__(self) -> str:
        """Return `median [lowest, highest]`."""
        return f"{self.median:.1f} [{self.low:.1f}, {self.high:.1f}]"


def write_table() -> None:
    """Write the section of docs/benchmarks.md between its markers."""
    lines = [
        "| case | SB3, steps/s | acclimate, steps/s | times as fast | by CPU time | rounds |",
        "|---|---|---|---|---|---|",
    ]
    for case in CASES:
        if path_of(case.name).exists():
            cell = json.loads(path_of(case.name).read_text(encoding="utf-8"))
            speed = {name: cell["steps"] / np.median(seconds) for name, seconds in cell["wall"].items()}
            rates = f"{speed['sb3']:,.0f} | {speed['acclimate']:,.0f}"
            ratios = f"{Ratio.of(cell['wall'])} | {Ratio.of(cell['cpu'])}"
            lines.append(f"| {cell['case']} | {rates} | {ratios} | {len(cell['wall']['sb3'])} |")
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    write_atomic(PAGE, head + BEGIN + "\n" + "\n".join(lines) + "\n" + END + tail)


def main() -> None:
    """Measure the chosen cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="", help="only cases whose name contains this")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--table", action="store_true", help="write the table alone")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    for case in () if arguments.table else CASES:
        if arguments.case.lower() in case.name.lower():
            cell = measure(case, arguments.rounds)
            CELLS.mkdir(parents=True, exist_ok=True)
            write_atomic(path_of(case.name), json.dumps(cell, indent=1) + "\n")
            print(f"{case.name}: {Ratio.of(cell['wall'])} times as fast, {Ratio.of(cell['cpu'])} by CPU time")
    write_table()


if __name__ == "__main__":
    main()
