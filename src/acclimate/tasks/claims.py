"""What a file claims of an agent's environment: plain data within bounds, and no name whose use would import code.

Gymnasium imports the module in an id `module:Name-v0`, and some environments do so with their arguments. Whoever types
such a name, on the command line or in Python, has chosen it; the author of a file has not been asked for his word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acclimate.errors import ConfigError, shown

MAX_TEXT, MAX_ITEMS, MAX_DEPTH = 1_000, 100, 6
_ID = re.compile(r"([\w-]+/)?[\w.-]{1,100}")
_NOT_ASKED = "which a file may not ask for; name it yourself if you know it"
_IMPORTS = re.compile(r"\s*[A-Za-z_][\w.]*:[A-Za-z_]")
HINTS = frozenset(
    [
        "env_wrapper",
        "vec_env_wrapper",
        "frame_stack",
        "normalize",
        "env_kwargs",
        "n_timesteps",
        "policy",
        "n_envs",
        "learning_rate",
        "clip_range",
        "train_freq",
    ]
)
"""What the configuration of a training may say that bears on its environment; nothing else of it is kept."""


@dataclass(frozen=True)
class Claims:
    """What of a file's claims is believed."""

    env_id: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    """Hints, by their names in `HINTS`."""
    refused: tuple[tuple[str, str], ...] = ()
    """The others, each with the reason."""


def believed(env_id: Any, config: Any) -> Claims:
    """Take what can be believed of the claims of a file: any file, whoever wrote it and however it was found.

    Args:
        env_id: what should be an environment's id.
        config: what should be hints by their names.
    """
    refused: list[tuple[str, str]] = []
    kept: dict[str, Any] = {}
    checks = {"env_id": environment_id, "env_kwargs": arguments}
    hints = config if isinstance(config, Mapping) else {}
    if hints is not config:
        refused.append(("config", f"{shown(config)} is no mapping of hints"))
    for name, value in {**{name: hints[name] for name in sorted(HINTS & hints.keys())}, "env_id": env_id}.items():
        if value is None:
            continue
        try:
            kept[name] = checks.get(name, plain)(value, name)
        except ConfigError as error:
            refused.append((name, str(error)))
    return Claims(kept.pop("env_id", None), kept, tuple(refused))


def environment_id(value: Any, where: str) -> str:
    """Return the id of an environment that stands in a file.

    Raises:
        ConfigError: It is none, or imports code; the message begins with `where`.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{where}: expected str, not {shown(value)}")
    if ":" in value:
        raise ConfigError(f"{where}: `{value[:MAX_ITEMS]}` imports code, {_NOT_ASKED}")
    if not _ID.fullmatch(value):
        raise ConfigError(f"{where}: {shown(value)} is no id of an environment, such as CartPole-v1")
    return value


def arguments(value: Any, where: str) -> dict[str, Any]:
    """Return arguments of an environment's constructor that stand in a file.

    Raises:
        ConfigError: They are no plain mapping, or name a module; the message begins with `where`.
    """
    found = plain(value, where)
    if not isinstance(found, dict):
        raise ConfigError(f"{where}: expected a mapping, not {shown(value)}")
    for name in found:
        if not name.isidentifier():
            raise ConfigError(f"{where}: {shown(name)} is no name of an argument")
    for text in _texts(found):
        if _IMPORTS.match(text):
            raise ConfigError(f"{where}: {shown(text)} may import code, {_NOT_ASKED}")
    return found


def plain(value: Any, where: str, depth: int = 0) -> Any:
    """Return a copy of plain data: None, booleans, numbers, text, and lists and mappings of them.

    Raises:
        ConfigError: It holds anything else, or more than any setting does; the message begins with `where`.
    """
    if value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) <= 2**53):
        return value
    if isinstance(value, str) and len(value) <= MAX_TEXT:
        return value
    small = isinstance(value, (list, tuple, Mapping)) and len(value) <= MAX_ITEMS and depth < MAX_DEPTH
    if small and isinstance(value, Mapping) and all(isinstance(key, str) and len(key) <= MAX_ITEMS for key in value):
        return {key: plain(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
    if small and not isinstance(value, Mapping):
        return [plain(item, f"{where}[{place}]", depth + 1) for place, item in enumerate(value)]
    raise ConfigError(
        f"{where}: {shown(value)} is no setting: plain data of up to {MAX_ITEMS} items, {MAX_DEPTH} levels and "
        f"{MAX_TEXT} characters"
    )


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in inner for text in _texts(part)]
