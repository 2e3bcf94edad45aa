"""What tells a callable environment from another one of the same name: its arguments, as far as they are data."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Set
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

_DEEPEST = 8


def identity(value: Any, depth: int = 0) -> Any:
    """Return JSON-able data that differ where two callables, or their arguments, make different things.

    Names, closures, defaults, constants, partial arguments and attributes count; what is no data counts by its type,
    so that the same script gives the same answer in every process.

    Example:
        >>> identity(functools.partial(int, base=2)) == identity(functools.partial(int, base=8))
        False
    """
    below = functools.partial(identity, depth=depth + 1)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]
        return {"type": str(value.dtype), "shape": list(value.shape), "hash": digest}
    if isinstance(value, type):
        return _name(value)
    if depth > _DEEPEST:
        return _name(type(value))
    if isinstance(value, Mapping):
        return {str(key): below(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [below(item) for item in value]
    if isinstance(value, Set):
        return sorted(map(str, value))
    return {"name": _name(_named(value)), **{key: below(part) for key, part in _parts(value).items() if part}}


def called(value: Any) -> str:
    """Return the name of a callable for people; of a partial that of what it calls."""
    inner = _named(value)
    return getattr(inner, "__name__", type(inner).__name__)


def _named(value: Any) -> Any:
    while isinstance(value, functools.partial):
        value = value.func
    return value if hasattr(value, "__qualname__") else type(value)


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _parts(value: Any) -> dict[str, Any]:
    """Return what a callable carries besides its name."""
    if isinstance(value, functools.partial):
        return {"calls": value.func, "arguments": value.args, "keywords": value.keywords}
    if isinstance(value, MethodType):
        return {"calls": value.__func__, "of": value.__self__}
    if isinstance(value, FunctionType):
        return {
            "closure": dict(zip(value.__code__.co_freevars, map(_held, value.__closure__ or ()), strict=True)),
            "defaults": value.__defaults__,
            "keywords": value.__kwdefaults__,
            "constants": _digest(value.__code__),
        }
    return {"attributes": getattr(value, "__dict__", None)}


def _held(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # not assigned yet


def _digest(code: CodeType) -> str | None:
    """Return a hash of what a user's function names and counts with; a library's belongs to its version."""
    if "site-packages" in code.co_filename:
        return None
    return hashlib.sha256(repr(_constants(code)).encode()).hexdigest()[:16]


def _constants(code: CodeType) -> list[Any]:
    """Return the numbers, words and names of a function's code, without what a version of Python adds to them."""
    found: list[Any] = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found.append(_constants(constant))
        elif isinstance(constant, (bool, int, float, str, tuple)):
            found.append(constant)
    return found
