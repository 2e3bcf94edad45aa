"""Mirror a run to Weights & Biases, as rl_zoo3's `--track` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.errors import ConfigError
from acclimate.reports.missing import Missing


@dataclass(frozen=True)
class Tracking:
    """Where W&B keeps the run; it reads the TensorBoard files that are written anyway."""

    project: str = "acclimate"
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()

    def start(self, folder: Path, config: Mapping[str, Any]) -> Any:
        """Begin the W&B run.

        Raises:
            ConfigError: The package is not installed, or cannot begin.
        """
        try:
            import wandb
        except ImportError as error:
            raise ConfigError("--track needs Weights & Biases: pip install 'acclimate[track]'.") from error
        try:
            return wandb.init(
                project=self.project,
                entity=self.entity,
                group=self.group,
                tags=list(self.tags),
                dir=str(folder),
                config=dict(config),
                name=folder.name,
                sync_tensorboard=True,
            )
        except (wandb.Error, OSError) as error:
            raise ConfigError(
                f"Weights & Biases cannot begin ({error}): mend that, set WANDB_MODE=offline, or leave out --track."
            ) from error


@contextmanager
def mirrored(track: Tracking | None, folder: Path, config: Mapping[str, Any], missing: Missing) -> Iterator[None]:
    """Mirror what happens in this context; a mirror that cannot be closed costs a note.

    Args:
        track: Where to, None for nowhere.
        folder: Of the run.
        config: What W&B shows of the run.
        missing: Gets the note.
    """
    if track is None:
        yield
        return
    run, code = track.start(folder, config), 1
    try:
        yield
        code = 0
    finally:
        with missing.trying("whole mirror on Weights & Biases"):
            run.finish(exit_code=code)
