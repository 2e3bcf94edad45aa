"""Let the prior, not random actions, fill an off-policy replay buffer."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback

from acclimate.sb3.counters import updates_of
from acclimate.sb3.hindsight import can_draw


class PriorFirst(BaseCallback):
    """Hold the updates of an off-policy algorithm until the agent has acted for some steps, then make up for them.

    SB3 itself fills the buffer by uniformly random actions for `learning_starts` steps, which forgets that the
    agent can act already (SB3 issues 435, 868 and 1916). WSRL (arXiv:2412.07762) warms up by the prior. The updates
    that the fill put off are made at twice the usual rate, so that the run has as many of them as it has steps for.
    A buffer for hindsight has nothing to give before its first episode ends, however long that takes.
    """

    def __init__(self, steps: int, *, start: int = 0, updates: int = 0) -> None:
        """Prepare.

        Args:
            steps: How many the prior takes alone.
            start: SB3's step counter when the run began, which a resumed run did before it was killed.
            updates: SB3's counter of updates then.
        """
        super().__init__()
        self.steps, self.start, self.updates = steps, start, updates
        self._usual = 0
        self._can_draw = self._waits = False

    def _on_training_start(self) -> None:
        self._usual = self.model.gradient_steps
        self._can_draw = can_draw(self.model.replay_buffer)
        self._waits = self.steps > 0 or not self._can_draw
        self._on_step()

    def _on_step(self) -> bool:
        taken = self.model.num_timesteps - self.start
        if self._waits:
            self._can_draw = self._can_draw or can_draw(self.model.replay_buffer)
            begun = taken >= self.steps and self._can_draw
            self.model.gradient_steps = self._rate(taken) if begun else 0
        return True

    def _rate(self, taken: int) -> int:
        """Return the updates of the coming `train`: twice the usual while any are owed."""
        rollout = self.model.train_freq.frequency * self.model.n_envs
        if self.model.train_freq.unit.value != "step":
            return self._usual
        each = self._usual if self._usual >= 0 else rollout
        owed = taken // rollout * each - (updates_of(self.model) - self.updates)
        return 2 * each if owed > each else self._usual

    def _on_training_end(self) -> None:
        self.model.gradient_steps = self._usual
