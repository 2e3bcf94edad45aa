"""Measure on a GPU what captured updates are worth: SB3's own training there beside ours, of the same agents.

    python -m benchmarks.device                 # every case, printed
    python -m benchmarks.device --case SAC --rounds 5

Both sides train in one process and take turns, a round each, on environments that cost nothing. Needs a GPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.vec_env import DummyVecEnv

from acclimate.engine.choice import attach
from acclimate.methods.full import Full
from acclimate.seam.seam import Seam

NO_GPU = "this measures CUDA graphs, and torch sees no GPU here: run it on a machine that has one"


class Noise(gym.Env):
    """Shows random numbers, whatever is done."""

    def __init__(self, actions: gym.Space[Any], seen: int = 17) -> None:
        """Show vectors of so many numbers."""
        self.action_space = actions
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (seen,), np.float32)
        self._rng, self._taken = np.random.default_rng(0), 0

    def _look(self) -> Any:
        return self._rng.normal(size=self.observation_space.shape).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode of 200 steps."""
        self._taken = 0
        return self._look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Show other numbers, for a random reward."""
        self._taken += 1
        return self._look(), float(self._rng.normal()), False, self._taken == 200, {}


@dataclass(frozen=True)
class Case:
    """An agent and how long it is trained."""

    make: Callable[[str], Any]
    steps: int
    """Of each side in a round."""


def _env(actions: gym.Space[Any]) -> Any:
    return DummyVecEnv([lambda: Noise(actions)])


def _off(algorithm: Any, actions: gym.Space[Any], **more: Any) -> Callable[[str], Any]:
    more = {"learning_starts": 300, "buffer_size": 20_000, **more}
    return lambda device: algorithm("MlpPolicy", _env(actions), seed=0, device=device, **more)


_REACH, _CHOICE = gym.spaces.Box(-1.0, 1.0, (6,), np.float32), gym.spaces.Discrete(4)
CASES = {
    "PPO": Case(lambda device: PPO("MlpPolicy", _env(_REACH), seed=0, device=device), 2048),
    "SAC": Case(_off(SAC, _REACH), 1000),
    "TD3": Case(_off(TD3, _REACH), 1000),
    "DQN": Case(_off(DQN, _CHOICE, train_freq=1), 1000),
}


class Side:
    """An agent that is trained round by round."""

    def __init__(self, case: Case, wanted: Any, device: str) -> None:
        self.model, self._steps = case.make(device), case.steps
        self.seam = Seam(self.model, Full(), total_steps=100 * case.steps)
        self.engine, self.why = attach(self.seam, type(self.model), wanted)

    def round(self) -> float:
        """Train, and return how many seconds it took."""
        _settle()
        begin = time.perf_counter()
        with self.seam:
            self.model.learn(self._steps, reset_num_timesteps=False)
        _settle()
        return time.perf_counter() - begin


def _settle() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(name: str, rounds: int, device: str = "cuda") -> str:
    """Return a line with the median ratio of a case and its range, or with why there is none."""
    stock, ours = (Side(CASES[name], wanted, device) for wanted in ("sb3", "device"))
    if ours.engine == "sb3":
        return f"{name}: no comparison: {ours.why}"
    seconds = []
    for number in range(rounds + 1):
        turn = [stock, ours] if number % 2 else [ours, stock]
        taken = {side: side.round() for side in turn}
        # The first round fills buffers, captures and warms up.
        seconds += [(taken[stock], taken[ours])] if number else []
    ratios = [theirs / own for theirs, own in seconds]
    rates = [CASES[name].steps / np.median(side) for side in zip(*seconds, strict=True)]
    return (
        f"{name}: SB3 {rates[0]:.0f}, ours {rates[1]:.0f} steps a second, "
        f"{np.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}] times as fast ({ours.why})"
    )


def main(argv: list[str] | None = None) -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, help="one case only")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each side")
    arguments = parser.parse_args(argv)
    if not torch.cuda.is_available():
        parser.exit(2, f"{NO_GPU}\n")
    print(torch.cuda.get_device_name())
    for name in CASES if arguments.case is None else [arguments.case]:
        print(measure(name, arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
