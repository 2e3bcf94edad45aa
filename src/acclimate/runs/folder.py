"""A run's folder: what lies where, and what makes it one run."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from acclimate.errors import ConfigError, SourceError, shown
from acclimate.files import arrays, bounded, plain
from acclimate.files.atomic import write_atomic
from acclimate.planning.recipe import Recipe
from acclimate.training.checkpoint import CHECKPOINT

PACKAGES = ("acclimate", "torch", "stable-baselines3", "sb3-contrib", "gymnasium", "mujoco", "box2d", "numpy")


PROBED = "probe.npz"
"""The probe's steps, which an off-policy run that is killed before its first checkpoint still learns from."""
BEGINNINGS = (
    "run.json",
    "recipe.yaml",
    "environment.json",
    PROBED,
    "before.json",
    "monitor.csv",
    "events.out.tfevents.*",
)
"""What lies in a folder before the first checkpoint."""
RESULTS = ("agent.zip", "vecnormalize.pkl", "bundle", "report.json")


@dataclass(frozen=True)
class RunFolder:
    """Where a run is written."""

    path: Path

    @property
    def is_finished(self) -> bool:
        """Whether a run ended here with its report, of which the page is written last."""
        return (self.path / "report.html").exists()

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
            found = read_json(known)
            with lost(known):
                # A run of an older version goes on with what its recipe meant: the defaults of fields that came later.
                found["recipe"] = Recipe.from_dict(found["recipe"]).to_dict()
            _check_same(found, json.loads(json.dumps(mine)), self.path)
            self._sweep()
            return
        if known.exists():
            raise ConfigError(
                f"{self.path} already holds a run: choose another folder, or go on with that one by --resume."
            )
        foreign = [path.name for pattern in (*BEGINNINGS, *RESULTS) for path in self.path.glob(pattern)]
        if foreign:
            raise ConfigError(
                f"{self.path} holds {', '.join(foreign)} of something else, which this run would overwrite: choose "
                "another folder."
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

    def abandon(self) -> None:
        """Take back what a run wrote that failed before its first checkpoint: there is nothing to go on with."""
        if (self.path / CHECKPOINT).exists():
            return
        self._sweep()
        for pattern in BEGINNINGS:
            for path in self.path.glob(pattern):
                path.unlink()
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _sweep(self) -> None:
        """Remove what was being written when a run was killed."""
        for path in self.path.glob(".*.tmp"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def read_json(path: Path) -> dict[str, Any]:
    """Return the mapping that one of the run's own files holds.

    Raises:
        SourceError: It is damaged.
    """
    with lost(path):
        data = plain.read_json(bounded.read_text(path))
        if not isinstance(data, dict):
            raise ValueError(f"it holds {shown(data)}, no mapping")
        return data


@contextlib.contextmanager
def lost(path: Path) -> Iterator[None]:
    """Turn whatever is wrong with a file that a run cannot go on without into an error that says so.

    Raises:
        SourceError: Something was.
    """
    try:
        yield
    except (OSError, ConfigError, *arrays.BROKEN) as error:
        raise SourceError(
            f"{path} cannot be read ({str(error)[:200]}): the run is lost; start it anew in another folder."
        ) from error


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
    different = list(_differences(known, mine))
    if different:
        raise ConfigError(
            f"{folder} holds a run with another {', '.join(different)}: resume with the flags it was started with, or "
            "choose another folder."
        )


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield path
