"""The progress bar: return, distance from the prior, speed and time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback

REDRAW_SECONDS = 0.2


class ProgressBar(BaseCallback):
    """Show how training goes, on standard error; silent where that is not a terminal."""

    def __init__(self, total: int, distance: Callable[[], float | None], *, enabled: bool) -> None:
        """Prepare.

        Args:
            total: Training steps of the run.
            distance: Gives the KL divergence from the prior, None while it is not known.
            enabled: Whether to show it at all.
        """
        super().__init__()
        self.total, self.distance = total, distance
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("fine-tuning"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("return {task.fields[ret]}"),
            TextColumn("KL {task.fields[kl]}"),
            TextColumn("{task.fields[speed]} steps/s"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not (enabled and sys.stderr.isatty()),
        )
        self._last = 0.0

    def _on_training_start(self) -> None:
        self._begin, self._begin_steps = time.perf_counter(), self.num_timesteps
        self._bar.start()
        self._row = self._bar.add_task("", total=self.total, ret="-", kl="-", speed="-")

    def _on_step(self) -> bool:
        now = time.perf_counter()
        if not self._bar.disable and now - self._last >= REDRAW_SECONDS:
            self._last = now
            episodes = self.model.ep_info_buffer or ()
            mean = sum(e["r"] for e in episodes) / len(episodes) if episodes else None
            kl = self.distance()
            steps = self.num_timesteps - self._begin_steps
            self._bar.update(
                self._row,
                completed=steps,
                ret="-" if mean is None else f"{mean:.1f}",
                kl="-" if kl is None else f"{kl:.3g}",
                speed=f"{steps / max(now - self._begin, 1e-9):,.0f}",
            )
        return True

    def close(self) -> None:
        """Take the bar from the screen."""
        self._bar.stop()
