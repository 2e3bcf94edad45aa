"""A run in a process of its own, which the tests of resuming kill.

    python -m tests.reliability.killed CASE FOLDER POINT NUMBER SIGNAL SECONDS

ends the run of a case by a signal at a step of its training, at a step that any of its worlds takes or just before a
call that puts something on the disk; its checkpoints are so many seconds apart.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from acclimate.methods.channel import ChannelScale
from acclimate.methods.jump_start import JumpStart
from acclimate.methods.kl import KLToPrior
from acclimate.methods.policy_expansion import PolicyExpansion
from acclimate.methods.prior_replay import PriorReplay
from acclimate.planning.recipe import Recipe
from acclimate.runs.finetune import finetune
from acclimate.schedule import Linear
from acclimate.training import watch
from tests.world import Dot, agent, recipe, task

STEPS = 420
_KL = KLToPrior(weight=Linear(0.5, 0.1))
_DATA = (
    PriorReplay(steps=40, share=0.25, serves="all"),
    JumpStart(horizon=Linear(6, 2), deterministic=False),
    PolicyExpansion(),
)
CASES: dict[str, tuple[str, Recipe]] = {
    "ppo": ("ppo", recipe(steps=STEPS, n_envs=2, methods=(ChannelScale(), _KL), algorithm={"n_steps": 16})),
    "trpo": ("trpo", recipe(steps=STEPS, n_envs=2, algorithm={"n_steps": 16})),
    "recurrent": (
        "recurrent_ppo",
        recipe(steps=STEPS, n_envs=2, methods=(ChannelScale(train_base=True), _KL), algorithm={"n_steps": 16}),
    ),
    "masked": (
        "maskable_ppo",
        recipe(
            steps=STEPS,
            n_envs=2,
            methods=(ChannelScale(), _KL),
            algorithm={"n_steps": 16},
            warm_start={"probe_episodes": 0},
        ),
    ),
    "sac": ("sac", recipe(steps=STEPS, methods=(_KL,), averaging=0.5)),
    "sac-16": (
        "sac",
        recipe(steps=STEPS, methods=(_KL,), averaging=0.5, algorithm={"train_freq": 16, "gradient_steps": 16}),
    ),
    "dqn": ("dqn", recipe(steps=STEPS, methods=(ChannelScale(train_base=True),), algorithm={"train_freq": 3})),
    "td3": ("td3", recipe(steps=STEPS, warm_start={"critic_warmup": 60})),
    "data": ("sac", recipe(steps=STEPS, methods=_DATA)),
}


POINTS: dict[str, tuple[tuple[Any, str], ...]] = {
    "world": ((Dot, "step"),),
    "write": ((os, "fsync"), (os, "replace"), (os, "rename"), (shutil, "rmtree")),
}
"""Calls by which a run can be ended: all steps of all worlds, and all that goes to the disk, half-written or whole."""


class Calls:
    """Counts calls, and does something at one of them, before it is made."""

    def __init__(self, at: int = 0, then: Callable[[], None] = lambda: None) -> None:
        self.seen, self.at, self.then = 0, at, then

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.seen += 1
            if self.seen == self.at:
                self.then()
            return function(*arguments, **named)

        return counted


class KilledAt(BaseCallback):
    """End this process at a step, as the kernel or a user would."""

    def __init__(self, step: int, signal_number: int) -> None:
        super().__init__()
        self.step, self.signal_number = step, signal_number

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.step:
            os.kill(os.getpid(), self.signal_number)
        return True


def run(case: str, folder: Path, *, every: float = 0.0, callback: Any = None, resume: bool = True, **more: Any) -> Any:
    """Run a case with a checkpoint every so many seconds."""
    name, asked = CASES[case]
    given, usual = agent(name, normalize=name in ("ppo", "trpo", "sac", "recurrent_ppo")), watch.CHECKPOINT_SECONDS
    source = task(name) if case == "data" else None
    watch.CHECKPOINT_SECONDS = every
    try:
        return finetune(
            given,
            task(name, offset=0.5),
            asked.override(**more),
            source=source,
            out=folder,
            resume=resume,
            callback=callback,
        )
    finally:
        watch.CHECKPOINT_SECONDS = usual


def process(
    case: str, folder: Path, *, at: int, point: str = "training", by: int = signal.SIGKILL, every: float = 0.0
) -> int:
    """Run a case in a process of its own until it is ended; return its exit code."""
    command = [sys.executable, "-m", "tests.reliability.killed", case, folder, point, at, int(by), every]
    done = subprocess.run(
        [str(part) for part in command],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in (0, -by, 1, 130), done.stderr
    return done.returncode


if __name__ == "__main__":
    case, folder, point, at, number, every = sys.argv[1:]
    if int(number) == signal.SIGINT:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    calls = Calls(int(at), lambda: os.kill(os.getpid(), int(number)))
    for owner, name in POINTS.get(point, ()):
        setattr(owner, name, calls.of(getattr(owner, name)))
    killer = KilledAt(int(at), int(number)) if point == "training" else None
    run(case, Path(folder), every=float(every), callback=killer)
