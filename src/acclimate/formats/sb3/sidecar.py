"""What lies beside an agent's zip: the zoo's config files and the normaliser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from acclimate.files import bounded
from acclimate.files.plain import MAX_YAML, Loader, read_yaml
from acclimate.sb3 import vocabulary
from acclimate.tasks.claims import Claims, believed

CONFIG, ARGUMENTS, KWARGS = "config.yml", "args.yml", "env_kwargs.yml"
_ENV_ID = re.compile(r"(?:[\w-]+/)?[A-Za-z][\w.-]*?-v\d+")
_CHECKPOINT = re.compile(r"(?P<prefix>.+)_(?P<steps>\d+)_steps")
NORMALIZERS = ("vecnormalize.pkl", "vec_normalize.pkl")


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


def claims(path: Path) -> Claims:
    """Return what the files beside a zip, or its name, say of its environment, as far as it is believed."""
    unreadable: list[tuple[str, str]] = []
    config, arguments, kwargs = (_first(path, name, unreadable) for name in (CONFIG, ARGUMENTS, KWARGS))
    given = kwargs or arguments.get("env_kwargs")
    hints = config if not given else {**config, "env_kwargs": given}
    # A field that is there and empty is one that was not given.
    found = believed(arguments.get("env") or None, {name: value for name, value in hints.items() if value != {}})
    refused = (*unreadable, *found.refused)
    return replace(found, env_id=found.env_id or _env_in_name(path), refused=refused)


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


def _env_in_name(path: Path) -> str | None:
    for name in (path.stem, path.parent.name):
        bare = re.sub(rf"^({'|'.join(sorted(vocabulary.ALGORITHMS, key=len, reverse=True))})[-_]", "", name)
        if match := _ENV_ID.match(bare):
            return match[0]
    return None


def _first(path: Path, name: str, unreadable: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the nearest file of this name as a mapping; empty where it is none, and then said in `unreadable`."""
    place = next((folder / name for folder in folders(path) if (folder / name).is_file()), None)
    if place is None:
        return {}
    try:
        found = read_yaml(bounded.read_text(place, 4 * MAX_YAML), _Inert)
    except (OSError, ValueError) as error:
        unreadable.append((name, str(error)[:200]))
        return {}
    return found if isinstance(found, dict) else {}


class _Inert(Loader):
    """A loader to which Python's own tags are data: an ordered mapping, or nothing."""


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
