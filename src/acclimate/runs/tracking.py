"""Mirror a run to Weights & Biases, as rl_zoo3's `--track` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.errors import ConfigError


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
            ConfigError: The package is not installed.
        """
        try:
            import wandb
        except ImportError as error:
            raise ConfigError("--track needs Weights & Biases: pip install 'acclimate[track]'.") from error
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
