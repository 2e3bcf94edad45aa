"""Write a checkpoint now and then, between two updates."""

from __future__ import annotations

import time
from collections.abc import Callable

from stable_baselines3.common.callbacks import BaseCallback


class Saving(BaseCallback):
    """Call `save` when a rollout begins and the last time lies some seconds back."""

    def __init__(self, save: Callable[[], None], every_seconds: float) -> None:
        super().__init__()
        self.save, self.every = save, every_seconds
        self._last = time.perf_counter()

    def _on_rollout_start(self) -> None:
        if time.perf_counter() - self._last >= self.every:
            self.save()
            self._last = time.perf_counter()

    def _on_step(self) -> bool:
        return True
