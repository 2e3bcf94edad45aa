"""What lies beside an agent's zip: the zoo's config files and the normaliser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from acclimate.sb3 import vocabulary

_MAX_YAML = 256 * 1024
_ENV_ID = re.compile(r"(?:[\w-]+/)?[A-Za-z][\w.-]*?-v\d+")
_CHECKPOINT = re.compile(r"(?P<prefix>.+)_(?P<steps>\d+)_steps")
NORMALIZERS = ("vecnormalize.pkl", "vec_normalize.pkl")
_HINTS = frozenset(
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


def folders(path: Path) -> list[Path]:
    """Return the folders in which files of the zip at `path` are looked for, nearest first."""
    found = [path.parent / path.stem]
    if (named := _env_in_name(path)) is not None:
        found.append(path.parent / named)
    return [*dict.fromkeys(found), path.parent]


def normalizer(path: Path) -> Path | None:
    """Return the normaliser's file beside a zip, under any of its usual names, or None."""
    checkpoint = _CHECKPOINT.fullmatch(path.stem)
    if checkpoint:
        beside = path.with_name(f"{checkpoint['prefix']}_vecnormalize_{checkpoint['steps']}_steps.pkl")
        if beside.is_file():
            return beside
    return next((folder / name for folder in folders(path) for name in NORMALIZERS if (folder / name).is_file()), None)


def config(path: Path) -> dict[str, Any]:
    """Return what a ``config.yml`` beside a zip says about its environment, as plain values."""
    found = {key: value for key, value in _first(path, "config.yml").items() if key in _HINTS}
    arguments = _first(path, "args.yml")
    env_kwargs = _first(path, "env_kwargs.yml") or arguments.get("env_kwargs")
    if isinstance(env_kwargs, dict) and env_kwargs:
        found["env_kwargs"] = env_kwargs
    return found


def normalized(settings: Mapping[str, Any]) -> bool | None:
    """Return whether a config says that observations were normalised; None if it does not tell."""
    normalize = settings.get("normalize")
    if normalize is None:
        return None
    if isinstance(normalize, str):
        return not re.search(r"norm_obs['\"]?\s*[:=]\s*False", normalize) and normalize.strip().lower() != "false"
    if isinstance(normalize, dict):
        return bool(normalize.get("norm_obs", True))
    return bool(normalize)


def env_id(path: Path) -> str | None:
    """Return the id of the environment an agent was trained on, from files beside it or from its name."""
    named = _first(path, "args.yml").get("env")
    if isinstance(named, str) and _ENV_ID.fullmatch(named):
        return named
    return _env_in_name(path)


def _env_in_name(path: Path) -> str | None:
    for name in (path.stem, path.parent.name):
        bare = re.sub(rf"^({'|'.join(sorted(vocabulary.ALGORITHMS, key=len, reverse=True))})[-_]", "", name)
        if match := _ENV_ID.match(bare):
            return match[0]
    return None


def _first(path: Path, name: str) -> dict[str, Any]:
    for folder in folders(path):
        if (folder / name).is_file():
            return read_yaml(folder / name)
    return {}


class _Inert(yaml.SafeLoader):
    """A safe loader to which Python's own tags are data: an ordered mapping, or nothing."""


def _ordered(loader: _Inert, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
        pairs = value[0] if len(value) == 1 and isinstance(value[0], list) else value
        return dict(_pairs(pairs))
    return None


def _pairs(items: Any) -> Iterator[tuple[str, Any]]:
    for item in items if isinstance(items, list) else ():
        if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):
            yield item[0], item[1]


_Inert.add_constructor("tag:yaml.org,2002:python/object/apply:collections.OrderedDict", _ordered)
_Inert.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: None)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a zoo's YAML file as a mapping of plain values; empty where it is none.

    Such a file is a hint: what cannot be read of it is left out, and nothing in it is executed.
    """
    try:
        if path.stat().st_size > _MAX_YAML:
            return {}
        # An instance of its own loader class: nothing is registered globally.
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_Inert)
    except (OSError, yaml.YAMLError, ValueError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
