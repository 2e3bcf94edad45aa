"""Keep what SB3 logs of its own training, for the diagnosis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from stable_baselines3.common.callbacks import BaseCallback

from acclimate.sb3.logged import logged

KEYS = ("approx_kl", "clip_fraction", "explained_variance", "std", "ent_coef", "actor_loss", "critic_loss", "loss")
EVERY = 50
"""Off-policy algorithms log each update; one in fifty is kept."""


class TrainingLog(BaseCallback):
    """Collect the `train/` values that SB3 logged, in order."""

    def __init__(self, before: Mapping[str, Sequence[float]]) -> None:
        """Go on with what was collected before a run was resumed."""
        super().__init__()
        self.values: dict[str, list[float]] = defaultdict(list, {key: list(found) for key, found in before.items()})
        self._calls = 0

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._calls += 1
        if not hasattr(self.model, "rollout_buffer") and self._calls % EVERY:
            return
        for key in KEYS:
            value = logged(self.logger, key)
            if value is not None:
                self.values[key].append(value)
