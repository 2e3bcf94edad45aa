"""What a checkpoint says in JSON, field by field: checked before any of it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from acclimate.config import from_dict
from acclimate.diagnosis.history import STEPS
from acclimate.errors import ConfigError
from acclimate.sb3.counters import KEPT


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """A measurement during training."""

    steps: int
    returns: tuple[float, ...]
    lengths: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.steps < 0 or min(self.lengths, default=0) < 0 or len(self.returns) != len(self.lengths):
            raise ConfigError("these are no episodes")


@dataclass(frozen=True, kw_only=True)
class _Unread:
    """What was seen of gradients since the last reading."""

    rates: tuple[float, ...]
    norms: Mapping[str, tuple[float, ...]]
    cosine: float | None
    wants_cosine: bool


@dataclass(frozen=True, kw_only=True)
class _Progress:
    """The fields of `progress.json`."""

    format: Literal[1]
    trained: bool
    steps: int
    counters: Mapping[str, int]
    seconds: float
    monitor_rows: int
    best_lower: float | None
    points: tuple[_Measured, ...]
    log: Mapping[str, tuple[float, ...]]
    signals: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    finished: bool = True
    diverged: str | None = None
    lost: bool = False
    charged: int = 0
    resumed: tuple[int, ...] = ()
    unread: _Unread | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "seconds", "monitor_rows", "charged"):
            if getattr(self, name) < 0:
                raise ConfigError(f"`{name}` is {getattr(self, name)}, below 0")
        if not self.counters.keys() <= set(KEPT) or min(self.counters.values(), default=0) < 0:
            raise ConfigError(f"`counters` are not {', '.join(KEPT)} of 0 or more")
        rows = self.signals.get(STEPS, ())
        if None in rows or any(len(column) != len(rows) for column in self.signals.values()):
            raise ConfigError("`signals` are no columns of one length")


def check(progress: Any, where: str) -> Mapping[str, Any]:
    """Return the progress of a checkpoint as it is, if every field is what it should be.

    Raises:
        ConfigError: One is not; the message begins with `where`.
    """
    points = progress.get("points") if isinstance(progress, dict) else None
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        raise ConfigError(f"{where}: is no mapping of fields, or has no list of points")
    # What another version wrote besides is left alone.
    known = {**_only(_Progress, progress), "points": [_only(_Measured, point) for point in points]}
    from_dict(_Progress, known, path=where)
    return progress


def _only(cls: type, data: Mapping[str, Any]) -> dict[str, Any]:
    return {item.name: data[item.name] for item in fields(cls) if item.name in data}
