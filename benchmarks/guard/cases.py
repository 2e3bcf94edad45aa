"""What is measured: three public agents of the RL Zoo, one of them discrete. Chosen before the first run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "guard"
FIT, ALARMS = 320, 0.05
"""Clean episodes of each fit, and the share of episodes that may have a false alarm."""
CLEAN, FAULTY = 200, 12
"""Episodes that nothing was fitted to: without a fault, and with each of them."""
N_ENVS = 25
TIERS = {
    "default": ("bounds", "rate", "mahalanobis"),
    "all": ("bounds", "rate", "mahalanobis", "latent", "knn", "statistics", "sequence", "uncertainty"),
}


@dataclass(frozen=True)
class Case:
    """An agent in the world that it was trained in."""

    name: str
    zip: str

    @property
    def path(self) -> Path:
        """Where its result lies."""
        return RESULTS / f"{self.name.lower().replace(' ', '-')}.json"


CASES = (
    Case("PPO HalfCheetah", "ppo/HalfCheetah-v3_1/HalfCheetah-v3.zip"),
    Case("PPO Hopper", "ppo/Hopper-v3_1/Hopper-v3.zip"),
    Case("DQN LunarLander", "dqn/LunarLander-v2_1/LunarLander-v2.zip"),
)
