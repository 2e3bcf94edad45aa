"""What a user gives as `callback`."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback, ConvertCallback
from stable_baselines3.common.type_aliases import MaybeCallback


def as_list(given: MaybeCallback) -> list[BaseCallback]:
    """Return what a user may give SB3 as `callback` as a list; a plain function is one, too."""
    several = [] if given is None else given if isinstance(given, list) else [given]
    return [one if isinstance(one, BaseCallback) else ConvertCallback(one) for one in several]
