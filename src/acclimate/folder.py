"""A run's folder: what lies where, and what makes it one run."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from acclimate.config import write_atomic
from acclimate.errors import ConfigError
from acclimate.recipe import Recipe, read_yaml

PACKAGES = ("acclimate", "torch", "stable-baselines3", "sb3-contrib", "gymnasium", "mujoco", "box2d", "numpy")


@dataclass(frozen=True)
class RunFolder:
    """Where a run is written."""

    path: Path

    @property
    def is_finished(self) -> bool:
        """Whether a run ended here with its report."""
        return (self.path / "report.json").exists()

    def open(self, recipe: Recipe, identity: dict[str, Any], *, resume: bool) -> None:
        """Claim the folder for a run, or check that the run to resume is this one.

        Args:
            recipe: Of this run.
            identity: JSON-able facts that make it the same run: the agent's hash, the tasks.
            resume: Whether to go on where a killed run stood.

        Raises:
            ConfigError: The folder cannot be written, holds another run, or resuming would change the run.
        """
        _check_writable(self.path)
        mine = {"recipe": recipe.to_dict(), **identity}
        known = self.path / "run.json"
        if resume and known.exists():
            _check_same(json.loads(known.read_text(encoding="utf-8")), json.loads(json.dumps(mine)), self.path)
            return
        if known.exists():
            raise ConfigError(
                f"{self.path} already holds a run: choose another folder, or go on with that one by --resume."
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cannot make {self.path} ({error.strerror}): choose a folder that can be made."
            ) from error
        write_atomic(known, json.dumps(mine, indent=2))
        recipe.save(self.path / "recipe.yaml")
        write_atomic(self.path / "environment.json", json.dumps(environment(), indent=2))

    def recipe(self) -> Recipe:
        """Return the recipe of the run that lies here."""
        return Recipe.from_dict(read_yaml(self.path / "recipe.yaml"))


def environment() -> dict[str, Any]:
    """Return the versions that a run depends on."""
    found: dict[str, Any] = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    found["threads"] = os.environ.get("OMP_NUM_THREADS")
    return found


def _check_writable(folder: Path) -> None:
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"cannot write {folder}: {existing} is not a folder you may write to; choose another --out.")


def _check_same(known: dict[str, Any], mine: dict[str, Any], folder: Path) -> None:
    different = [key for key in sorted(known.keys() | mine.keys()) if known.get(key) != mine.get(key)]
    if not different:
        return
    if different == ["recipe"]:
        old, new = known["recipe"], mine["recipe"]
        fields = [f"recipe.{key}" for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
        different = fields
    raise ConfigError(
        f"{folder} holds a run with another {', '.join(different)}: resume with the flags it was started with, or "
        "choose another folder."
    )
