"""One cell of a study: a case, a row and a seed, and what came of it."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

from acclimate.config import from_dict
from acclimate.errors import ConfigError
from acclimate.files import bounded, plain
from acclimate.files.atomic import write_atomic

MOST_BYTES = 2**26


@dataclass(frozen=True, order=True)
class Key:
    """Which cell it is."""

    seed: int
    case: str
    row: str

    @property
    def folder(self) -> str:
        """The name of its folder: readable, and its own also where two names read alike."""
        words = "-".join(re.findall(r"[a-z0-9.=]+", f"{self.case} {self.row}".lower()))[:80]
        mark = zlib.crc32(f"{self.case}\0{self.row}".encode())
        return f"{words}-{mark:08x}-s{self.seed}"

    def __str__(self) -> str:
        return f"{self.case} | {self.row} | seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class Played:
    """An agent's final episodes, on the same seeds for everybody."""

    steps: int
    """Target steps after which it was taken."""
    target: tuple[float, ...]
    """The return of each episode in the changed world."""
    source: tuple[float, ...] | None = None
    """The same in the world of pretraining, where there is one."""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Environment steps, in the changed world and at home."""

    training: int = 0
    probing: int = 0
    """By which the plan was made; those that a replay buffer begins with are among them."""
    methods: int = 0
    """Asked for by methods in the changed world."""
    methods_source: int = 0
    """Of methods and the probe at home."""
    measuring: int = 0
    measuring_source: int = 0

    @property
    def target(self) -> int:
        """All of them in the changed world but for those that measured."""
        return self.training + self.probing + self.methods

    @property
    def source(self) -> int:
        """All of them at home."""
        return self.methods_source + self.measuring_source


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one row brought in one case with one seed."""

    case: str
    row: str
    seed: int
    last: Played
    """The end of training; of a row that trains nothing, the agent."""
    best: Played | None = None
    """The one of the measurements with the highest mean."""
    kept: Played | None = None
    """What our judge kept, the pretrained agent among its candidates; ours alone."""
    kept_tuned: bool | None = None
    curve: tuple[tuple[int, float], ...] = ()
    """Target steps and mean return of each measurement in training, the first before it."""
    steps: Steps = field(default_factory=Steps)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    """Of training and everything around it, on a clock that other work on the machine moves."""
    learning: float = 0.0
    """Those seconds in which it learnt, without what measured."""
    of: str = ""
    """What it was made of (`studies/origin`)."""
    report: bool = False
    """Whether a report of its own lies in its folder."""

    def write(self, folder: Path) -> None:
        """Write it into its folder."""
        write_atomic(folder / "cell.json", json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path, key: Key, of: str | None = None) -> Cell | None:
        """Return the cell in a folder, None where there is none that is whole.

        Args:
            folder: Of the cell.
            key: Which it should be.
            of: What it should have been made of; None asks for nothing.

        Raises:
            ConfigError: It is damaged, or another one.
        """
        path = folder / "cell.json"
        if not path.exists():
            return None
        try:
            cell = from_dict(cls, plain.read_json(bounded.read_text(path, MOST_BYTES)), path=str(path))
        except (ValueError, OSError) as error:
            said = str(error)[:100]
            raise ConfigError(f"{path} is damaged ({said}); remove it, and the cell is run again") from error
        if (cell.case, cell.row, cell.seed) != (key.case, key.row, key.seed):
            raise ConfigError(f"{path} is of {cell.case} | {cell.row} | seed {cell.seed}, not of {key}; remove it")
        if of is not None and cell.of != of:
            raise ConfigError(
                f"{path} was made of another agent, world or recipe, or by another version; remove it, and the cell is "
                "run again, or choose another folder"
            )
        return cell


def failure(folder: Path) -> str | None:
    """Return why a cell failed, None where none has."""
    path = folder / "failed.txt"
    return path.read_text(encoding="utf-8")[:2000] if path.exists() else None


def fail(folder: Path, why: str) -> None:
    """Write down why a cell failed; it is named in the report and run again by the next call."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "failed.txt", why[:2000])
