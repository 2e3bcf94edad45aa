"""Measure the memory of a fine-tuning run beside that of SB3's `learn`, imported libraries aside.

    python -m benchmarks.memory                    # every case, then the table in docs/benchmarks.md
    python -m benchmarks.memory --case SAC --no-table

Each run has a process of its own. A first one finds out which modules the run imports, early or late; the next ones
import them all beforehand, so that what they add to the resident memory from there on is the run's own. What the
imports have freed goes back to the system first, on every side: a run that hands back memory would get the credit for
it. Processes that a run forks are not in it: the one that steps a share of the environments, and the one that films.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.page import put

ROOT = Path(__file__).resolve().parent.parent
STATUS, FORGET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")
KIB = 1024.0
BAR = 1.5
"""Times the memory of SB3's `learn` that the process of a whole run may take, libraries included."""
SIDES = ("sb3", "engine", "finetune")


@dataclass(frozen=True)
class Case:
    """What is trained."""

    name: str
    algorithm: str
    policy: str
    env: str
    n_envs: int
    steps: int
    arguments: tuple[tuple[str, Any], ...]


IMAGES = "images"
CASES = (
    Case("PPO 64x64 on Hopper-v5, 8 environments", "PPO", "MlpPolicy", "Hopper-v5", 8, 8_192, (("n_steps", 256),)),
    Case(
        "SAC 256x256 on HalfCheetah-v5, 50,000 steps kept, an update each 64",
        "SAC",
        "MlpPolicy",
        "HalfCheetah-v5",
        1,
        50_000,
        (("buffer_size", 50_000), ("train_freq", 64), ("gradient_steps", 1)),
    ),
    Case(
        "PPO NatureCNN on images of 84x84x4, 4 environments, rollouts of 64",
        "PPO",
        "CnnPolicy",
        IMAGES,
        4,
        1_024,
        (("n_steps", 64), ("batch_size", 64), ("n_epochs", 2)),
    ),
)


def images() -> Any:
    """Return an environment that shows noise for 50 steps."""
    import gymnasium as gym

    class Noise(gym.Env[Any, Any]):
        observation_space = gym.spaces.Box(0, 255, (84, 84, 4), np.uint8)
        action_space = gym.spaces.Discrete(4)

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            self.left = 50
            return self.np_random.integers(0, 256, (84, 84, 4), np.uint8), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            self.left -= 1
            return self.np_random.integers(0, 256, (84, 84, 4), np.uint8), 1.0, self.left == 0, False, {}

    return Noise()


def model(case: Case) -> Any:
    """Return a fresh model with its environments."""
    import stable_baselines3 as sb3
    from stable_baselines3.common.env_util import make_vec_env

    env = make_vec_env(images if case.env == IMAGES else case.env, case.n_envs, seed=0)
    return getattr(sb3, case.algorithm)(case.policy, env, seed=0, device="cpu", **dict(case.arguments))


def learn(case: Case) -> None:
    """Train as SB3 does."""
    model(case).learn(case.steps)


def engine(case: Case) -> None:
    """Train with the engine where it can, behind the same `learn`."""
    from acclimate.engine.choice import attach
    from acclimate.methods.full import Full
    from acclimate.seam.seam import Seam

    made = model(case)
    seam = Seam(made, Full())
    attach(seam, type(made), "auto")
    with seam:
        made.learn(case.steps)


def finetune(case: Case) -> None:
    """Fine-tune with all that belongs to a run: evaluations, checkpoints, the report."""
    import acclimate as ac

    agent = ac.load(_saved(case), normalizer=None)
    task = ac.Task(images if case.env == IMAGES else case.env)
    recipe = ac.Recipe(steps=case.steps, n_envs=case.n_envs, algorithm=dict(case.arguments))
    with tempfile.TemporaryDirectory() as out:
        ac.finetune(agent, task, recipe, out=out, progress=False)


def _saved(case: Case) -> Path:
    """Return the zip of a fresh agent; another process writes it, so that this one pays for none of it."""
    path = Path(tempfile.gettempdir()) / f"acclimate-memory-{os.getpid()}.zip"
    script = f"from benchmarks import memory; memory.model(memory.CASES[{CASES.index(case)}]).save({str(path)!r})"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
    return path


RUNS: dict[str, Callable[[Case], None]] = {"sb3": learn, "engine": engine, "finetune": finetune}


def resident(which: str) -> float:
    """Return a line of the process's status in MiB: `VmRSS` now, `VmHWM` at its highest."""
    (line,) = (line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{which}:"))
    return int(line.split()[1]) / KIB


def work(case: Case, side: str, modules: list[str]) -> dict[str, Any]:
    """Import, run and say what it took, in MiB; `modules` are those that were there at its end."""
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError:  # what only its own package can import
            continue
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    libraries = resident("VmRSS")
    FORGET_PEAK.write_text("5", encoding="ascii")
    RUNS[side](case)
    return {"libraries": libraries, "run": resident("VmHWM") - libraries, "modules": sorted(sys.modules)}


def ask(case: Case, side: str, modules: list[str]) -> dict[str, Any]:
    """Let a process of its own do the work."""
    command = [sys.executable, "-m", "benchmarks.memory", "--worker", side, "--case", case.name]
    found = subprocess.run(command, input=json.dumps(modules), capture_output=True, text=True, cwd=ROOT, check=False)
    if found.returncode:
        raise SystemExit(f"{case.name}, {side}: {found.stderr[-2000:]}")
    return json.loads(found.stdout.splitlines()[-1])


def line(case: Case, found: dict[str, list[dict[str, Any]]]) -> str:
    """Return a row of the table: medians, and our runs over SB3's."""
    runs = {side: float(np.median([each["run"] for each in found[side]])) for side in SIDES}
    libraries = {side: float(np.median([each["libraries"] for each in found[side]])) for side in SIDES}
    cells = [f"{runs[side]:.0f}" for side in SIDES]
    cells += [f"{runs[side] / runs['sb3']:.2f}" for side in SIDES[1:]]
    cells += [f"{libraries[side]:.0f}" for side in SIDES]
    processes = {side: libraries[side] + runs[side] for side in SIDES}
    cells += [f"{processes[side] / processes['sb3']:.2f}" for side in SIDES[1:]]
    return f"| {case.name} | {' | '.join(cells)} |"


def measure(case: Case, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Return what the processes of each side said."""
    modules = {side: ask(case, side, [])["modules"] for side in SIDES}
    return {side: [ask(case, side, modules[side]) for _ in range(rounds)] for side in SIDES}


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="", help="only cases whose name contains this")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-table", action="store_true", help="print and write nothing")
    parser.add_argument("--worker", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = [case for case in CASES if arguments.case.lower() in case.name.lower()]
    if arguments.worker:
        print(json.dumps(work(chosen[0], arguments.worker, json.loads(sys.stdin.read()))))
        return
    heads = ["SB3's `learn`", "engine", "`finetune`", "engine over SB3", "`finetune` over SB3"]
    heads += [f"libraries: {side}" for side in ("SB3", "engine", "`finetune`")]
    heads += ["process: engine over SB3", "process: `finetune` over SB3"]
    lines = [f"| MiB | {' | '.join(heads)} |", f"|---|{'--:|' * len(heads)}"]
    for case in chosen:
        lines.append(line(case, measure(case, arguments.rounds)))
        print(lines[-1], flush=True)
    lines += ["", f"The process of `finetune` may take {BAR} times what that of SB3's `learn` takes."]
    print(lines[-1])
    if not arguments.no_table:
        put("memory", "\n".join(lines))


if __name__ == "__main__":
    main()
