"""The wrappers that the RL Zoo's files name beside an agent, as declared ones. Nothing is imported by its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from acclimate.config import convert
from acclimate.errors import ConfigError
from acclimate.registry import WRAPPERS
from acclimate.tasks.wrappers import Wrapper

_AROUND_ONE = {
    "sb3_contrib.common.wrappers.TimeFeatureWrapper": "time_feature",
    "stable_baselines3.common.atari_wrappers.AtariWrapper": "atari",
    "rl_zoo3.wrappers.MaskVelocityWrapper": "mask_velocity",
    "utils.wrappers.MaskVelocityWrapper": "mask_velocity",
    "sb3_contrib.common.wrappers.time_feature.TimeFeatureWrapper": "time_feature",
}
_STACK = "stable_baselines3.common.vec_env.VecFrameStack"
_AROUND_ALL = {
    _STACK: "frame_stack",
    "stable_baselines3.common.vec_env.VecNormalize": None,
    "stable_baselines3.common.vec_env.VecMonitor": None,
}
"""None: not the task's, as the normaliser is the agent's, and a monitor changes nothing that is seen."""
NAMED = ("env_wrapper", "vec_env_wrapper", "frame_stack")
"""The hints that name wrappers."""


def from_zoo(config: Mapping[str, Any], path: str = "config.yml") -> tuple[Wrapper, ...]:
    """Make the wrappers that the RL Zoo's hyperparameters name, innermost first.

    Args:
        config: may have `env_wrapper`, `vec_env_wrapper` and `frame_stack`.
        path: where it stands, for errors.

    Raises:
        ConfigError: if they name a wrapper outside of the allow-list.
    """
    wrappers = [*_made(config, "env_wrapper", _AROUND_ONE, path), *_made(config, "vec_env_wrapper", _AROUND_ALL, path)]
    if frames := config.get("frame_stack"):
        wrappers.append(WRAPPERS.build({"frame_stack": frames}, f"{path}: frame_stack"))
    return tuple(wrappers)


def _made(config: Mapping[str, Any], hint: str, known: Mapping[str, str | None], path: str) -> Iterator[Wrapper]:
    named, where = config.get(hint) or (), f"{path}: {hint}"
    for entry in [named] if isinstance(named, (str, Mapping)) else convert(list[Any], named, where):
        place, fields = next(iter(entry.items())) if isinstance(entry, Mapping) and entry else (entry, {})
        if not isinstance(place, str) or place not in known:
            raise ConfigError(
                f"{where}: `{str(place)[:100]}` is not on the list ({', '.join(known)}); "
                "name the wrappers yourself (--wrapper), or pass a callable environment with that wrapper in Python"
            )
        name = known[place]
        if name is not None:
            given = {"frames": fields.get("n_stack", 4)} if place == _STACK and isinstance(fields, Mapping) else fields
            yield WRAPPERS.build({name: given or {}}, where)
