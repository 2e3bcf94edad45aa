"""Whether a zip's agent was trained with hindsight, and how: by name, without importing anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium import spaces

from acclimate.errors import ConfigError
from acclimate.files.pickles import Made, Token
from acclimate.sb3.hindsight import STRATEGIES, Hindsight

FIELDS = ("replay_buffer_class", "replay_buffer_kwargs")
_CLASS = "stable_baselines3.her.her_replay_buffer.HerReplayBuffer"
_STRATEGY = "stable_baselines3.her.goal_selection_strategy.GoalSelectionStrategy"


def read(held: Any, arguments: Any, space: spaces.Space) -> tuple[Hindsight | None, list[tuple[str, str]]]:
    """Return how the agent uses hindsight, None where it uses none, and what was not taken, with the reason.

    Args:
        held: the class of its replay buffer, as inert records.
        arguments: of that class, alike.
        space: what it observes.
    """
    if not isinstance(held, Token) or str(held) != _CLASS:
        return None, []
    arguments = arguments if isinstance(arguments, Mapping) else {}
    try:
        return Hindsight.of({name: _plain(value) for name, value in arguments.items()}, space, FIELDS[1]), []
    except ConfigError as error:
        return Hindsight(), [(FIELDS[1], f"{error}: the buffer's defaults instead")]


def _plain(value: Any) -> Any:
    """Return the name of a strategy that is held as SB3's constant; anything else as it is."""
    if isinstance(value, Made) and str(value.what) == _STRATEGY and len(value.args) == 1:
        number = value.args[0]
        return STRATEGIES.get(number) if type(number) is int else None
    return value
