"""One agent goes on twice, by stock SB3 and by `finetune`, under the same eyes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from acclimate.agents.load import load
from acclimate.runs.finetune import Run, finetune
from acclimate.sb3.vocabulary import ALGORITHMS
from acclimate.tasks.task import Task
from tests.world import Dot, recipe

PARTS = {
    "actor": re.compile(r"^actor\.|policy_net|action_net"),
    "critic": re.compile(r"^critic\.|value_net|^q_net\.|^quantile_net\."),
}


class Steps(BaseCallback):
    """What is done at each of the first steps, whoever trains."""

    def __init__(self, steps: int = 500) -> None:
        super().__init__()
        self.steps = steps
        self.apart: list[np.ndarray] = []
        """How far each action is from the one that the policy of that step holds for best."""
        self.stored: list[int] = []
        """Transitions in the replay buffer."""
        self.moved: dict[str, list[float]] = {part: [] for part in PARTS}
        """The largest change of a weight since the step before."""
        self.clipped: list[float] = []
        """PPO's clip range."""
        self.entropy: list[float] = []
        """SAC's entropy coefficient."""
        self._weights: dict[str, torch.Tensor] = {}

    def _on_step(self) -> bool:
        actions = np.asarray(self.locals["actions"], np.float64)
        best, _ = self.model.predict(self.model._last_obs, deterministic=True)
        self.apart.append(np.abs(actions - best).reshape(len(actions), -1).max(axis=1))
        if hasattr(self.model, "replay_buffer"):
            self.stored.append(self.model.replay_buffer.size())
        if hasattr(self.model, "clip_range"):
            self.clipped.append(self.model.clip_range(self.model._current_progress_remaining))
        if hasattr(self.model, "log_ent_coef"):
            self.entropy.append(float(self.model.log_ent_coef.detach().exp()))
        now = {name: value.clone() for name, value in self.model.policy.state_dict().items()}
        for part, names in PARTS.items():
            changes = [float((now[n] - old).abs().max()) for n, old in self._weights.items() if names.search(n)]
            self.moved[part].append(max(changes, default=0.0))
        self._weights = now
        return len(self.apart) < self.steps

    def random(self, beyond: float = 0.6) -> float:
        """Return the share of actions that are far from the policy's own."""
        return float((np.concatenate(self.apart) > beyond).mean())

    def first(self, part: str = "critic") -> int:
        """Return the step before which weights of a part had changed for the first time."""
        return next(step for step, change in enumerate(self.moved[part]) if change > 0)

    def moves(self, part: str = "critic") -> list[float]:
        """Return by how much weights of a part moved, each time that they did."""
        return [change for change in self.moved[part] if change > 0]


class Values(BaseCallback):
    """How far the critic is in the mean, at each step, from what follows the states of twenty episodes.

    Args:
        world: whose episodes are played; what they pay is discounted by a half.
        slope: of the agent, which does `slope * x` and hardly explores.
    """

    def __init__(self, world: Task, slope: float) -> None:
        super().__init__()
        self.errors: list[float] = []
        played = [self._episode(world.make(), seed, slope) for seed in range(20)]
        self._states = torch.as_tensor(np.concatenate([states for states, _ in played]))
        self._mean = float(np.concatenate([returns for _, returns in played]).mean())

    @staticmethod
    def _episode(env: gym.Env, seed: int, slope: float) -> tuple[np.ndarray, np.ndarray]:
        seen, _ = env.reset(seed=seed)
        states, rewards, ended = [], [], False
        while not ended:
            states.append(seen)
            seen, reward, _, ended, _ = env.step(np.clip(slope * seen[:1], -2.0, 2.0))
            rewards.append(float(reward))
        follows = [sum(0.5**i * reward for i, reward in enumerate(rewards[at:])) for at in range(len(rewards))]
        return np.stack(states), np.array(follows)

    def _on_step(self) -> bool:
        with torch.no_grad():
            values = self.model.policy.predict_values(self._states)
        self.errors.append(abs(float(values.mean()) - self._mean))
        return True


def stock(
    path: Path, env: Callable[[], Any], steps: int, watch: Any = None, *, reset: bool = True, **how: Any
) -> BaseAlgorithm:
    """Do as most do: load the zip by SB3 and call `learn`."""
    made = ALGORITHMS[load(path, normalizer=None).algorithm].load(path, env=env(), device="cpu", seed=0, **how)
    return made.learn(steps, callback=watch, reset_num_timesteps=reset)


def ours(path: Path, world: Task, steps: int, watch: Any = None, *, source: Task | None = None, **how: Any) -> Run:
    """Fine-tune the agent in the zip."""
    return finetune(load(path), world, recipe(steps=steps, **how), source=source, callback=watch)


def saved(made: BaseAlgorithm, folder: Path) -> Path:
    """Return the zip that SB3 itself writes of a model."""
    made.save(folder / "agent.zip")
    return folder / "agent.zip"


def scaled_dot(discrete: bool = False, factor: float = 1.0) -> gym.Env:
    """Return the line with a dot where all is paid by another scale."""
    return gym.wrappers.TransformReward(Dot(discrete=discrete), lambda reward: factor * reward)
