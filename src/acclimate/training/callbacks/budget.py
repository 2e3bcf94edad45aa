"""Keep a run within its steps."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import TrainFrequencyUnit


class Budget(BaseCallback):
    """Stop an algorithm that updates after whole episodes when its steps are used up.

    Rollouts of a fixed number of steps fit the budget by themselves, and stopping one at its end would cost the last
    update.
    """

    def __init__(self, steps: int) -> None:
        """Prepare.

        Args:
            steps: How many may be taken.
        """
        super().__init__()
        self.steps = steps

    def _on_training_start(self) -> None:
        self._start = self.model.num_timesteps
        self._by_episodes = self.model.train_freq.unit == TrainFrequencyUnit.EPISODE

    def _on_step(self) -> bool:
        if not self._by_episodes or self.num_timesteps - self._start < self.steps:
            return True
        return bool(self.locals["dones"].all())  # where the episode ends as well, its update follows
