"""Let the prior, not random actions, fill an off-policy replay buffer."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback


class PriorFirst(BaseCallback):
    """Hold the gradient steps of an off-policy algorithm until the agent has acted for some steps.

    SB3 itself fills the buffer by uniformly random actions for `learning_starts` steps, which forgets that the
    agent can act already (SB3 issues 435, 868 and 1916). WSRL (arXiv:2412.07762) warms up by the prior.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self._gradient_steps = 0

    def _on_training_start(self) -> None:
        self._start = self.model.num_timesteps
        self._gradient_steps = self.model.gradient_steps
        if self.steps:
            self.model.gradient_steps = 0

    def _on_step(self) -> bool:
        if self.model.gradient_steps == 0 and self.model.num_timesteps - self._start >= self.steps:
            self.model.gradient_steps = self._gradient_steps
        return True

    def _on_training_end(self) -> None:
        self.model.gradient_steps = self._gradient_steps
