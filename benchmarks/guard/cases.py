"""What is measured: three public agents of the RL Zoo, fine-tuned to a changed world, one of them discrete.

Chosen before the first run. That of discrete actions is tuned with dropout, so that its tier `uncertainty` asks the
policy itself; the others ask an ensemble.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from acclimate.agents.agent import Agent
from acclimate.agents.home import home
from acclimate.agents.load import load
from acclimate.planning.recipe import Recipe
from acclimate.runs.finetune import finetune
from acclimate.shifts import Gravity
from acclimate.tasks.task import Task

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
    """An agent, the world that it is tuned to, and how."""

    name: str
    zip: str
    gravity: float
    methods: tuple[str, ...] = ()
    steps: int = 100_000

    @property
    def path(self) -> Path:
        """Where its result lies."""
        return RESULTS / f"{self.name.lower().replace(' ', '-')}.json"

    def tuned(self, zoo: Path) -> tuple[Agent, Task]:
        """Return the agent that is kept of a run of seed 0, as it is loaded from the run's folder, and its world."""
        agent, folder = load(zoo / self.zip), RESULTS / "runs" / self.path.stem
        task = home(agent).task.shifted(Gravity(self.gravity))
        recipe = Recipe.from_dict({"steps": self.steps, "methods": list(self.methods)})
        if not (folder / "report.json").exists():
            finetune(agent, task, recipe, out=folder, resume=True, progress=False)
        return load(folder), task


CASES = (
    Case("PPO HalfCheetah", "ppo/HalfCheetah-v3_1/HalfCheetah-v3.zip", 1.5),
    Case("PPO Hopper", "ppo/Hopper-v3_1/Hopper-v3.zip", 1.25),
    Case("DQN LunarLander", "dqn/LunarLander-v2_1/LunarLander-v2.zip", 0.8, ("dropout",), 50_000),
)
