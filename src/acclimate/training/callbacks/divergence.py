"""Stop a run that has left the finite numbers or has collapsed."""

from __future__ import annotations

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from acclimate.errors import DivergenceError
from acclimate.sb3.counters import last_observations

EVERY = 20
"""Off-policy algorithms start a rollout each step or two; looking at every 20th keeps the cost under one percent."""


def is_finite(model: BaseAlgorithm) -> bool:
    """Return whether every parameter of the policy and its critics is a finite number."""
    with torch.no_grad():
        sums = [p.sum() for p in model.policy.parameters()]
        return bool(torch.isfinite(torch.stack(sums)).all())


def sees_finite(model: BaseAlgorithm) -> bool:
    """Return whether the last observations are finite numbers."""
    seen = last_observations(model)
    parts = seen.values() if isinstance(seen, dict) else (seen,)
    return all(bool(np.isfinite(part).all()) for part in parts)


class Finite(BaseCallback):
    """Raise `DivergenceError` before the agent acts with a parameter that is not a finite number."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = 0

    def _on_rollout_start(self) -> None:
        self._calls += 1
        on_policy = hasattr(self.model, "rollout_buffer")
        if (on_policy or self._calls % EVERY == 0) and not is_finite(self.model):
            raise DivergenceError(explain(self.model.num_timesteps))

    def _on_step(self) -> bool:
        return True


def explain(steps: int) -> str:
    """Return the plain sentence for weights or observations that became NaN or infinite."""
    return (
        f"training diverged at step {steps}: a weight or an observation is no longer a finite number. The last good "
        "agent was saved; try a lower warm_start.learning_rate, and look for huge rewards or observations in the task."
    )
