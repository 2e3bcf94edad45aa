"""Which algorithm a zip holds, and its settings as far as they are plain numbers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acclimate.sb3 import vocabulary

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
        "optimize_memory_usage",
        "replay_buffer_class",
        "replay_buffer_kwargs",
        "rollout_buffer_class",
        "rollout_buffer_kwargs",
    ]
)
_MINIMUM = {"gradient_steps": -1, "sde_sample_freq": -1, "learning_starts": 0, "alive_bonus_offset": -(2**53)}
_TEXT = {"ent_coef": re.compile(r"auto(_\d+(\.\d+)?)?"), "target_entropy": re.compile(r"auto")}
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
    found: dict[str, Any] = {}
    unread: list[tuple[str, str]] = []
    for argument, parameter in inspect.signature(vocabulary.ALGORITHMS[name].__init__).parameters.items():
        stored = "_stats_window_size" if argument == "stats_window_size" else argument
        if argument in _SKIPPED or stored not in data:
            continue
        value, reason = _setting(argument, data[stored], parameter.default)
        if reason:
            unread.append((argument, reason))
        elif value is not None or parameter.default is None:
            found[argument] = value
    if name == "a2c":
        # A2C adds RMSprop by itself unless told not to; a file that uses it names it in its policy_kwargs.
        found["use_rms_prop"] = False
    return found, unread


def _setting(name: str, value: Any, default: Any) -> tuple[Any, str]:
    """Return a setting and an empty reason, or None and why it is not taken."""
    if isinstance(value, dict):
        constant = _CONSTANT.fullmatch(str(value.get("value_schedule", "")))
        if constant is None:
            return None, "pickled, and never decoded; the default is used unless a recipe sets it"
        try:
            value = float(constant[1])
        except ValueError:
            return None, "not a number"
    if value is None or isinstance(value, str):
        fits = value is None or (name in _TEXT and _TEXT[name].fullmatch(value))
        return (value, "") if fits else (None, "not a number")
    if name == "train_freq" and isinstance(value, (list, tuple)):
        fits = len(value) == 2 and type(value[0]) is int and value[0] >= 1 and value[1] in ("step", "episode")
        return (list(value), "") if fits else (None, "no frequency")
    if isinstance(default, bool) or isinstance(value, bool):
        return (value, "") if isinstance(value, bool) and isinstance(default, bool) else (None, "not a number")
    if not isinstance(value, (int, float)) or not abs(value) <= 2**53:
        return None, "not a finite number"
    if type(default) is int or name == "n_top":
        if value != int(value) or value < _MINIMUM.get(name, 1):
            return None, f"{value} is out of range"
        return int(value), ""
    return value, ""
