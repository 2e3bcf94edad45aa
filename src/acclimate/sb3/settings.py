"""What the arguments of SB3's algorithms may be, wherever they come from: a zip, a bundle, a recipe or a flag."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping
from typing import Any

from acclimate.errors import shown
from acclimate.sb3 import vocabulary

_MOST = sys.float_info.max
_COUNT, _OFTEN, _SIZE, _SHARE, _RATE = (1, 10**7), (1, 10**4), (1, 2**53), (0, 1), (0, _MOST)
_RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(["batch_size", "buffer_size"], _SIZE),
    **dict.fromkeys(["n_steps", "target_update_interval", "stats_window_size", "n_delta", "n_top"], _COUNT),
    **dict.fromkeys(["n_eval_episodes", "n_critic_updates", "sub_sampling_factor"], _COUNT),
    **dict.fromkeys(["n_epochs", "policy_delay", "cg_max_steps", "line_search_max_iter"], _OFTEN),
    **dict.fromkeys(["gamma", "gae_lambda", "tau", "line_search_shrinking_factor"], _SHARE),
    **dict.fromkeys(["exploration_fraction", "exploration_initial_eps", "exploration_final_eps"], _SHARE),
    **dict.fromkeys(["learning_rate", "clip_range", "clip_range_vf", "ent_coef", "vf_coef", "max_grad_norm"], _RATE),
    **dict.fromkeys(["target_kl", "target_policy_noise", "target_noise_clip", "rms_prop_eps"], _RATE),
    **dict.fromkeys(["cg_damping", "delta_std"], _RATE),
    **dict.fromkeys(["target_entropy", "alive_bonus_offset"], (-_MOST, _MOST)),
    "top_quantiles_to_drop_per_net": (0, 10**4),
    "learning_starts": (0, 2**53),
    "gradient_steps": (-1, 10**4),
    "sde_sample_freq": (-1, 2**53),
}
_WORDS = {"ent_coef": re.compile(r"auto(_\d{1,12}(\.\d{1,12})?)?"), "target_entropy": re.compile(r"auto")}
OBJECTS = frozenset(
    ["action_noise", "replay_buffer_class", "replay_buffer_kwargs", "rollout_buffer_class", "rollout_buffer_kwargs"]
)
"""Arguments that are no plain data, or whose data an object reads."""


def defaults(algorithm: str) -> dict[str, Any]:
    """Return the arguments of an algorithm's constructor with their defaults."""
    signature = inspect.signature(vocabulary.ALGORITHMS[algorithm].__init__)
    return {name: parameter.default for name, parameter in signature.parameters.items()}


def problem(name: str, value: Any, default: Any) -> str:
    """Return why a plain value cannot be an argument, empty where it can.

    Args:
        name: of the argument.
        value: None, a boolean, a number, a text, or a list or mapping of them.
        default: of SB3's constructor.
    """
    if value is None:
        return "" if default is None else "is nothing; give a value, or leave it out"
    if isinstance(default, bool) or isinstance(value, bool):
        return "" if isinstance(default, bool) and isinstance(value, bool) else f"is {shown(value)}; {_wanted(default)}"
    if isinstance(value, str):
        fits = isinstance(default, str) and name in _WORDS and _WORDS[name].fullmatch(value)
        return "" if fits else f"is {shown(value)}; {_wanted(default)}"
    if name == "train_freq":
        return "" if _is_frequency(value) else f"is {shown(value)}; give a number of steps, or [1, episode]"
    if name not in _RANGES or not isinstance(value, (int, float)):
        return f"is {shown(value)}; {_wanted(default)}"
    low, high = _RANGES[name]
    if not low <= value <= high:
        return f"is {shown(value)}, out of range; give a number {_words(low, high)}"
    if _is_count(name, default) and value != int(value):
        return f"is {shown(value)}; give a whole number"
    return (
        "is 0; give 1 or more, or -1 for as many as there were steps" if (name, value) == ("gradient_steps", 0) else ""
    )


def number(name: str, value: Any, default: Any) -> Any:
    """Return a value without a problem as SB3 takes it: 1e3 steps are a whole number."""
    return int(value) if _is_count(name, default) and isinstance(value, float) else value


def _is_count(name: str, default: Any) -> bool:
    return (type(default) is int and name not in ("max_grad_norm", "alive_bonus_offset")) or name == "n_top"


def _is_frequency(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) == 2 and value[1] in ("step", "episode") and _is_frequency(value[0])
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 1 <= value <= 10**7 and value % 1 == 0


def _wanted(default: Any) -> str:
    if isinstance(default, bool):
        return "give true or false"
    return f"give a number or {default}" if isinstance(default, str) else "give a number"


def _words(low: float, high: float) -> str:
    if high == _MOST:
        return "that is finite" if low < 0 else f"of {low:g} or more"
    return f"from {low:g} to {high:g}"
