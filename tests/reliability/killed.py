"""A run in a process of its own, which the tests of resuming kill: `python -m tests.reliability.killed CASE FOLDER`."""

from __future__ import annotations

import os
import signal
import sys
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
from tests.world import agent, recipe, task

STEPS = 420
_KL = KLToPrior(weight=Linear(0.5, 0.1))
_DATA = (
    PriorReplay(steps=40, share=0.25, serves="all"),
    JumpStart(horizon=Linear(6, 2), deterministic=False),
    PolicyExpansion(),
)
CASES: dict[str, tuple[str, Recipe]] = {
    "ppo": ("ppo", recipe(steps=STEPS, n_envs=2, methods=(ChannelScale(), _KL), algorithm={"n_steps": 16})),
    "sac": ("sac", recipe(steps=STEPS, methods=(_KL,), averaging=0.5)),
    "dqn": ("dqn", recipe(steps=STEPS, methods=(ChannelScale(train_base=True),), algorithm={"train_freq": 3})),
    "td3": ("td3", recipe(steps=STEPS, warm_start={"critic_warmup": 60})),
    "data": ("sac", recipe(steps=STEPS, methods=_DATA)),
}


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
    given, usual = agent(name, normalize=name in ("ppo", "sac")), watch.CHECKPOINT_SECONDS
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


if __name__ == "__main__":
    case, folder, step, number, every = sys.argv[1:]
    killer = KilledAt(int(step), int(number)) if int(step) else None
    if int(number) == signal.SIGINT:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run(case, Path(folder), every=float(every), callback=killer)
