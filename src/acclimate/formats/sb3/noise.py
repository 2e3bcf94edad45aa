"""The noise on actions that a zip holds: by name, without importing anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gymnasium import Space

from acclimate.errors import ConfigError, SourceError, UnsafeFileError
from acclimate.files import numbers
from acclimate.files.pickles import Made
from acclimate.sb3.noise import KINDS, Noise

FIELD = "action_noise"
_HOME = "stable_baselines3.common.noise."
_NAMES = {f"{_HOME}{cls.__name__}": kind for cls, kind in KINDS.items()}


def read(held: Any, space: Space[Any], where: str) -> tuple[Noise | None, list[tuple[str, str]]]:
    """Return the noise, None where there is none, and that it was not taken, with the reason.

    Args:
        held: the noise, as inert records.
        space: of the actions.
        where: what is being read, for the messages.
    """
    if held is None:
        return None, []
    if isinstance(held, Made) and str(held.what) == f"{_HOME}VectorizedActionNoise":
        held = held.state.get("_base_noise") if isinstance(held.state, Mapping) else None
    kind = _NAMES.get(str(held.what)) if isinstance(held, Made) else None
    if kind is None or not isinstance(held.state, Mapping):
        return None, [(FIELD, "is no noise of SB3's own; left out")]
    try:
        fields = {name: numbers.plain(value, where) for name, value in held.state.items() if name != "_dtype"}
        return Noise.of(kind, fields, math.prod(space.shape or ())), []
    except (ConfigError, SourceError, UnsafeFileError, TypeError, ValueError, OverflowError) as error:
        return None, [(FIELD, f"{str(error)[:120]}; left out")]
