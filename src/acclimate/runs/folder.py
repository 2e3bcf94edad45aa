"""A run's folder: what lies where, and what makes it one run."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from acclimate.errors import ConfigError, SourceError, shown
from acclimate.files import arrays, bounded, plain
from acclimate.files.atomic import write_atomic
from acclimate.planning.recipe import Recipe
from acclimate.training import checkpoint

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
RESULTS = ("agent.zip", "vecnormalize.pkl", "vec_normalize.pkl", "bundle", "last", "report.json")
HALF_WRITTEN = (".*.tmp", ".*.mp4")
"""What a killed run was writing: files, folders and films."""


@dataclass(frozen=True)
class RunFolder:
    """Where a run is written."""

    path: Path

    @property
    def is_finished(self) -> bool:
        """Whether a run ended here: report.json, which says what of the rest is missing, is written last."""
        return (self.path / "report.json").exists()

    @contextlib.contextmanager
    def claimed(self, recipe: Recipe, identity: dict[str, Any], *, resume: bool) -> Iterator[RunFolder]:
        """Hold the folder for a run, and leave it fit for the next one whatever is raised.

        Before the first checkpoint there is nothing to go on with, and the folder is free again; an interrupt leaves
        what was measured. Afterwards the error carries a note that says how to go on.

        Args:
            recipe: As for `open`.
            identity: As for `open`.
            resume: As for `open`.
        """
        self.open(recipe, identity, resume=resume)
        try:
            with self._full_disk():
                yield self
        except BaseException as error:
            if isinstance(error, Exception):
                self.abandon()
            if (self.path / "run.json").exists() and not self.is_finished:
                error.add_note(f"With --resume (resume=True) the same run goes on in {self.path}, where it stood.")
            raise

    @contextlib.contextmanager
    def _full_disk(self) -> Iterator[None]:
        """Give a full disk a name, whoever wrote: TensorBoard's thread and the monitor have only a number for it."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise ConfigError(f"cannot write {self.path} ({error.strerror}): make room there.") from error

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
            now = json.loads(json.dumps(mine))
            # A run of an older version goes on with what its recipe meant: the defaults of fields that came later. Of a
            # callable it knew no more than the name.
            defaults = {"recipe": json.loads(json.dumps(Recipe().to_dict())), "callables": now.get("callables")}
            _check_same(_filled(found, {key: value for key, value in defaults.items() if value}), now, self.path)
            self._sweep()
            self._describe(recipe)
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
        for half in self.path.glob(".run.json.*.tmp"):
            half.unlink()
        write_atomic(known, json.dumps(mine, indent=2))
        try:
            self._describe(recipe)
        except ConfigError:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Take back what a run wrote that failed before its first checkpoint: there is nothing to go on with."""
        if self.is_finished or checkpoint.is_in(self.path):
            return
        self._sweep()
        for pattern in BEGINNINGS:
            for path in self.path.glob(pattern):
                path.unlink()
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _describe(self, recipe: Recipe) -> None:
        """Write for people and other programs what the run is, where a kill has not left that already."""
        if not (self.path / "recipe.yaml").exists():
            recipe.save(self.path / "recipe.yaml")
        if not (self.path / "environment.json").exists():
            write_atomic(self.path / "environment.json", json.dumps(environment(), indent=2))

    def _sweep(self) -> None:
        """Remove what was being written when a run was killed."""
        for path in (found for pattern in HALF_WRITTEN for found in self.path.glob(pattern)):
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


def _filled(known: Any, defaults: Mapping[str, Any]) -> Any:
    """Return nested data with the defaults of what it lacks."""
    if not isinstance(known, dict):
        return known
    return {
        **defaults,
        **{
            key: _filled(value, defaults[key]) if isinstance(defaults.get(key), dict) else value
            for key, value in known.items()
        },
    }


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
