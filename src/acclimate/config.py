"""Configuration: frozen dataclasses are the one truth; dict, YAML and command line are other faces of them.

Nothing here evaluates or imports anything that a file names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import os
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from acclimate.errors import ConfigError, shown, suggest
from acclimate.files.plain import read_yaml

T = TypeVar("T")

POSITIONAL = ""
"""The key under which `parse_spec` puts the value of `name=value`: it goes to the first field."""

MOST: Mapping[Any, float] = {int: 2**53, float: sys.float_info.max}
"""The largest size of a number in a field."""

# Other readers of YAML take `1e-3` for text.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")


def to_dict(obj: Any) -> dict[str, Any]:
    """Turn a dataclass into YAML-able data: every field, nested ones too, tuples as lists.

    Raises:
        ConfigError: if a field holds what no file can hold (a function, say); the message names the field.
    """
    return _fields_out(obj, type(obj).__name__)


def _fields_out(obj: Any, path: str) -> dict[str, Any]:
    return {
        field.name: _plain(getattr(obj, field.name), f"{path}.{field.name}")
        for field in dataclasses.fields(obj)
        if field.init
    }


def _plain(value: Any, path: str) -> Any:
    if hasattr(value, "to_config"):
        return value.to_config()
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, (tuple, list, np.ndarray)):
        return [_plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if dataclasses.is_dataclass(value):
        return _fields_out(value, path)
    raise ConfigError(f"{path}: {shown(value)} cannot be written to a file; use plain data or a registered name")


def from_dict(cls: type[T], data: Any, *, path: str = "recipe") -> T:
    """Make a dataclass from plain data, checking every name and type.

    Args:
        cls: a dataclass, or a class with its own `from_config`.
        data: a mapping of fields; anything else, or the key `POSITIONAL`, goes to the first field.
        path: where the data stand, for errors.

    Raises:
        ConfigError: for an unknown or missing field or a value of another type; it begins with the path.

    Example:
        >>> import dataclasses
        >>> @dataclasses.dataclass(frozen=True)
        ... class Rank:
        ...     rank: int = 4
        >>> from_dict(Rank, {"rnak": 8}, path="recipe.lora")
        Traceback (most recent call last):
        acclimate.errors.ConfigError: recipe.lora: no field `rnak`. Did you mean `rank`?
    """
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    data = _named(data, fields, path)
    for key in data:
        if key not in fields:
            raise ConfigError(f"{path}: no field `{str(key)[:100]}`. {suggest(str(key), fields)}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in data:
            raise ConfigError(f"{path}: the field `{name}` is missing; give it a value")
    values = {key: convert(hints[key], value, f"{path}.{key}") for key, value in data.items()}
    try:
        return cls(**values)
    except ConfigError as error:
        said = str(error)
        raise ConfigError(said if said.startswith(path) else f"{path}: {said}") from error


def _named(data: Any, fields: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Give the positional value the name of the first field."""
    if isinstance(data, Mapping) and POSITIONAL not in data:
        return dict(data)
    if not fields:
        raise ConfigError(f"{path}: takes no value, but has {shown(data)}; leave it out")
    first = next(iter(fields))
    if not isinstance(data, Mapping):
        return {first: data}
    data = dict(data)
    value = data.pop(POSITIONAL)
    if first in data:
        raise ConfigError(f"{path}: `{first}` is given twice; give it once")
    return {first: value, **data}


def convert(kind: Any, value: Any, path: str) -> Any:
    """Check plain data against a type annotation and return it as that type.

    Raises:
        ConfigError: if the value is of another type; the message begins with `path`.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or kind is object:
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, path)
    if origin is typing.Literal:
        if any(value == choice and type(value) is type(choice) for choice in arguments):
            return value
        raise ConfigError(f"{path}: {shown(value)} is no choice. {suggest(str(value), map(str, arguments))}")
    if origin in (tuple, list, Sequence):
        return _convert_sequence(origin, arguments, value, path)
    if origin in (dict, Mapping) or kind in (dict, Mapping):
        return _convert_mapping(arguments, value, path)
    if isinstance(kind, type) and not isinstance(value, str) and isinstance(value, kind) and kind not in (int, float):
        return value
    if hasattr(kind, "from_config"):
        return kind.from_config(value, path)
    if dataclasses.is_dataclass(kind):
        return from_dict(kind, value, path=path)
    return _convert_scalar(kind, value, path)


def _convert_union(arms: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and types.NoneType in arms:
        return None
    rest = [arm for arm in arms if arm is not types.NoneType]
    if len(rest) == 1:
        return convert(rest[0], value, path)
    for arm in rest:
        with contextlib.suppress(ConfigError):
            return convert(arm, value, path)
    # Structured data can only have been meant for the arm that has structure: its message is the helpful one.
    structured = [arm for arm in rest if hasattr(arm, "from_config") or dataclasses.is_dataclass(arm)]
    if len(structured) == 1 and isinstance(value, (Mapping, str)):
        return convert(structured[0], value, path)
    raise ConfigError(f"{path}: expected {' or '.join(map(_name, rest))}, not {shown(value)}")


def _convert_sequence(origin: Any, arguments: tuple[Any, ...], value: Any, path: str) -> Any:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{path}: expected a list, not {shown(value)}")
    if origin is tuple and arguments[-1:] != (Ellipsis,):
        if len(arguments) != len(value):
            raise ConfigError(f"{path}: expected {len(arguments)} values, not {len(value)}")
        kinds = arguments
    else:
        kinds = (arguments[0],) * len(value)
    items = [convert(kind, item, f"{path}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True))]
    return items if origin is list else tuple(items)


def _convert_mapping(arguments: tuple[Any, ...], value: Any, path: str) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path}: expected a mapping, not {shown(value)}")
    key_kind, item_kind = arguments or (Any, Any)
    return {convert(key_kind, key, path): convert(item_kind, item, f"{path}.{key}") for key, item in value.items()}


def _convert_scalar(kind: Any, value: Any, path: str) -> Any:
    if isinstance(value, str) and kind in (int, float) and _NUMBER.fullmatch(value):
        value = float(value)
    # No field means infinity, and none is counted beyond what a float holds exactly.
    if kind in (int, float) and isinstance(value, (int, float)) and not abs(value) <= MOST[kind]:
        raise ConfigError(f"{path}: {shown(value)} is not finite or too large; give a number up to {MOST[kind]:g}")
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind in (str, bool) and isinstance(value, kind):
        return value
    if kind is Path and isinstance(value, str):
        return Path(value)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        choices = {str(member.value): member for member in kind}
        if str(value) in choices:
            return choices[str(value)]
        raise ConfigError(f"{path}: {shown(value)} is no choice. {suggest(str(value), choices)}")
    raise ConfigError(f"{path}: expected {_name(kind)}, not {shown(value)}")


def _name(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(f"`{choice}`" for choice in typing.get_args(kind))
    return getattr(kind, "__name__", str(kind))


def parse_scalar(text: str) -> Any:
    """Read one YAML scalar or flow list from a flag. What is no YAML stays a string."""
    try:
        return read_yaml(text)
    except ValueError:
        return text


def parse_spec(text: str) -> tuple[str, dict[str, Any]]:
    """Read a name with its fields from a flag: `name`, `name=value` or `name:field=value,field=value`.

    Commas inside brackets do not separate fields, so `kl:weight=linear(0.5, 0)` has one.

    Returns:
        The name and its fields; the value of `name=value` stands under `POSITIONAL`.

    Raises:
        ConfigError: if the text has another form.

    Example:
        >>> parse_spec("gravity=1.5"), parse_spec("kl:weight=0.5,roles=[policy, actor]")
        (('gravity', {'': 1.5}), ('kl', {'weight': 0.5, 'roles': ['policy', 'actor']}))
    """
    match = re.fullmatch(r"\s*([\w.-]+)\s*(?:([:=])(.*))?", text, re.DOTALL)
    if match is None:
        raise ConfigError(f"`{text}`: expected `name`, `name=value` or `name:field=value,field=value`")
    name, mark, rest = match.groups()
    if mark is None:
        return name, {}
    if mark == "=":
        return name, {POSITIONAL: parse_scalar(rest)}
    fields: dict[str, Any] = {}
    for part in _split(rest):
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ConfigError(f"`{text}`: expected `field=value` instead of `{part.strip()}`")
        if key in fields:
            raise ConfigError(f"`{text}`: `{key}` is given twice; give it once")
        fields[key] = parse_scalar(value)
    return name, fields


def _split(text: str) -> Iterator[str]:
    depth, start = 0, 0
    for index, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            yield text[start:index]
            start = index + 1
    yield text[start:]
