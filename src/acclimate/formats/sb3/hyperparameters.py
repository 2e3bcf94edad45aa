"""Which algorithm a zip holds, and its settings as far as they are plain numbers."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acclimate.sb3 import settings

_MARKS = {"ppo": ("n_epochs", "clip_range"), "trpo": ("cg_max_steps", "line_search_max_iter")}
# Arguments that are not settings of the training, or that a caller decides.
_SKIPPED = frozenset(
    [
        "self",
        "policy",
        "env",
        "policy_kwargs",
        "tensorboard_log",
        "verbose",
        "seed",
        "device",
        "_init_setup_model",
        "action_noise",
        "optimize_memory_usage",
        "replay_buffer_class",
        "replay_buffer_kwargs",
        "rollout_buffer_class",
        "rollout_buffer_kwargs",
    ]
)
_ONCE = "optimize_memory_usage"
_TIMEOUTS = "handle_timeout_termination"
_CONSTANT = re.compile(r"ConstantSchedule\(val=([-+.\deE]{1,40})\)")


def algorithm(candidates: Sequence[str], data: Mapping[str, Any], kwargs: Mapping[str, Any], path: Path) -> str:
    """Return which of the algorithms that share a policy class saved this data.

    What the data holds decides; the names of the file and its folders only where it does not.
    """
    if len(candidates) == 1:
        return candidates[0]
    if "a2c" in candidates:
        return next((name for name, marks in _MARKS.items() if any(mark in data for mark in marks)), "a2c")
    # TD3 and DDPG differ by settings only; SB3 itself makes a DDPG agent a TD3 with one critic and no delay.
    if kwargs.get("n_critics") == 1 and data.get("policy_delay", 1) == 1:
        return "ddpg"
    named = {part.lower() for part in re.split(r"[^A-Za-z0-9]+", "/".join(path.parts[-3:]))}
    return "ddpg" if "ddpg" in named and data.get("policy_delay", 1) == 1 else "td3"


def read(name: str, data: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the algorithm's arguments that are plain and sensible, and why the others were not taken."""
    stored = {"stats_window_size": "_stats_window_size"}
    given = {key: data[place] for key in settings.defaults(name) if (place := stored.get(key, key)) in data}
    found, unread = sensible(name, {key: _constant(value) for key, value in given.items()})
    if name == "a2c":
        # A2C adds RMSprop by itself unless told not to; a file that uses it names it in its policy_kwargs.
        found["use_rms_prop"] = False
    return found, unread


def sensible(name: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return those of an algorithm's arguments that a file may decide and that are sound, and why others are not taken.

    Args:
        name: of the algorithm.
        given: by the names of its constructor; none of a caller's, and no object, is taken.
    """
    found: dict[str, Any] = {}
    unread: list[tuple[str, str]] = []
    known = settings.defaults(name)
    if "replay_buffer_kwargs" in known:
        found, unread = _buffer(given)
    for argument, default in known.items():
        if argument in _SKIPPED or argument not in given:
            continue
        value = given[argument]
        if isinstance(value, dict):
            unread.append((argument, "pickled, and never decoded; the default is used unless a recipe sets it"))
        elif reason := settings.problem(argument, value, default):
            unread.append((argument, reason))
        else:
            found[argument] = settings.number(argument, value, default)
    return found, unread


def _buffer(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return what is said of a replay buffer: whether it knows time limits, and whether it keeps each state once."""
    asked, found = given.get("replay_buffer_kwargs"), {}
    if isinstance(asked, Mapping) and asked.get(_TIMEOUTS) is False:
        found["replay_buffer_kwargs"] = {_TIMEOUTS: False}
    if given.get(_ONCE) is not True:
        return found, []
    if not found or given.get("n_steps", 1) != 1:
        return found, [(_ONCE, f"is no buffer of SB3's but with {_TIMEOUTS} false and n_steps 1; each state twice")]
    return {**found, _ONCE: True}, []


def _constant(value: Any) -> Any:
    """Return the number of a constant schedule, which its text tells; anything else as it is."""
    constant = _CONSTANT.fullmatch(str(value.get("value_schedule", ""))) if isinstance(value, dict) else None
    with contextlib.suppress(ValueError):
        return value if constant is None else float(constant[1])
    return value
