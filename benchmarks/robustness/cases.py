"""What is measured: two public agents of the RL Zoo, one of them discrete. Chosen before the first run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "robustness"
ARMS = ("plain", "smooth", "noise")
"""The default recipe at home, the same with `smooth`, and the default recipe under noise of the sensors."""
SEEDS = (0, 1, 2)
STEPS = 100_000
EPISODES, N_ENVS = 30, 30
"""Of each attack, on the same seeds."""


@dataclass(frozen=True)
class Case:
    """An agent in the world that it was trained in, and how far its observations are moved."""

    name: str
    zip: str
    radius: float
    attacks: tuple[str, ...]

    @property
    def slug(self) -> str:
        """Its name in those of files."""
        return self.name.lower().replace(" ", "-")


CASES = (
    # The radius of the authors of SA-PPO for HalfCheetah (their configuration), in units of the normaliser.
    Case("PPO HalfCheetah", "ppo/HalfCheetah-v3_1/HalfCheetah-v3.zip", 0.15, ("random", "fgsm", "pgd", "mad")),
    # No normaliser: the radius is in raw units, of coordinates and speeds of about 1, and is the attack's default.
    Case(
        "DQN LunarLander", "dqn/LunarLander-v2_1/LunarLander-v2.zip", 0.05, ("random", "fgsm", "pgd", "mad", "critic")
    ),
)


@dataclass(frozen=True)
class Cell:
    """One agent to measure: the pretrained one (`before`), it behind a guard (`guard`), or an arm's of a seed."""

    case: Case
    arm: str
    seed: int = 0

    @property
    def path(self) -> Path:
        """Where its result lies."""
        seed = f"-s{self.seed}" if self.arm in ARMS else ""
        return RESULTS / f"{self.case.slug}-{self.arm}{seed}.json"


CELLS = [
    *(Cell(case, arm) for case in CASES for arm in ("before", "guard")),
    *(Cell(case, arm, seed) for seed in SEEDS for case in CASES for arm in ARMS),
]
