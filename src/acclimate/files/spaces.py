"""Observation and action spaces: out of the records of a pickle, and to JSON and back."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from acclimate.errors import SourceError, UnsafeFileError
from acclimate.files import numbers
from acclimate.files.pickles import Made

_CLASSES = {
    (f"{package}.spaces.{module}", name): name
    for package in ("gym", "gymnasium")
    for module, name in (
        ("box", "Box"),
        ("discrete", "Discrete"),
        ("multi_discrete", "MultiDiscrete"),
        ("multi_binary", "MultiBinary"),
        ("dict", "Dict"),
    )
}
_MAX_KEYS = 1000


def from_record(value: Any, where: str) -> spaces.Space:
    """Return the Gymnasium space that a pickled space of gym or gymnasium describes.

    Raises:
        UnsafeFileError: It is no space but something to be run.
        SourceError: It is broken, or a kind that SB3 cannot train on.
    """
    name = _CLASSES.get((value.what.module, value.what.name)) if isinstance(value, Made) else None
    if name is None:
        what = f"asks for `{value.what}`" if isinstance(value, Made) else "is no space"
        raise UnsafeFileError(f"{where}: {what} where a space of Gym or Gymnasium belongs; refused.")
    state = value.state if isinstance(value.state, dict) else {}
    try:
        return _READERS[name](state, where)
    except (KeyError, AssertionError, ValueError, TypeError, OverflowError, AttributeError) as error:
        raise SourceError(f"{where}: broken {name} space ({str(error)[:120]}); save the agent again.") from error


def _box(state: dict[Any, Any], where: str) -> spaces.Space:
    low, high = numbers.array(state["low"], where), numbers.array(state["high"], where)
    kind = numbers.dtype(state["dtype"], where)
    if low.shape != high.shape or np.isnan(low).any() or np.isnan(high).any() or (low > high).any():
        raise SourceError(f"{where}: a Box whose bounds contradict each other; save the agent again.")
    # Old Gym kept bounds in another precision than the numbers themselves.
    return make_box(low.astype(kind), high.astype(kind), kind)


def make_box(low: np.ndarray, high: np.ndarray, kind: np.dtype) -> spaces.Box:
    """Return a Box with exactly these bounds."""
    return spaces.Box(low=low, high=high, shape=low.shape, dtype=kind.type)


def _discrete(state: dict[Any, Any], where: str) -> spaces.Space:
    start = numbers.scalar(state.get("start", 0), where)
    return spaces.Discrete(_size(numbers.scalar(state["n"], where), where), start=int(start))


def _multi_discrete(state: dict[Any, Any], where: str) -> spaces.Space:
    sizes = numbers.array(state["nvec"], where)
    _size(int(sizes.astype(np.float64).sum()), where)
    start = numbers.array(state["start"], where) if "start" in state else None
    return spaces.MultiDiscrete(sizes, dtype=sizes.dtype.type, start=start)


def _multi_binary(state: dict[Any, Any], where: str) -> spaces.Space:
    size = state["n"]
    if numbers.is_numpy(size, "_reconstruct") or numbers.is_numpy(size, "_frombuffer"):
        size = tuple(numbers.array(size, where).tolist())
    shape = tuple(int(numbers.scalar(n, where)) for n in size) if isinstance(size, (tuple, list)) else None
    if shape is None:
        return spaces.MultiBinary(_size(numbers.scalar(size, where), where))
    _size(math.prod(shape), where)
    return spaces.MultiBinary(shape)


def _dict(state: dict[Any, Any], where: str) -> spaces.Space:
    found = state["spaces"]
    if isinstance(found, Made) and str(found.what) == "collections.OrderedDict":
        found = found.items
    if not isinstance(found, dict) or not 0 < len(found) <= _MAX_KEYS:
        raise SourceError(f"{where}: a Dict space without spaces; save the agent again.")
    # Networks read the keys in this order; a plain dict would be sorted.
    parts: OrderedDict[str, spaces.Space] = OrderedDict()
    for key, part in found.items():
        if not isinstance(key, str) or (isinstance(part, Made) and part.what.name == "Dict"):
            raise SourceError(f"{where}: SB3 agents have no Dict space inside a Dict space; save it flat.")
        parts[key] = from_record(part, f"{where}[{key[:40]!r}]")
    return spaces.Dict(parts)


_READERS = {
    "Box": _box,
    "Discrete": _discrete,
    "MultiDiscrete": _multi_discrete,
    "MultiBinary": _multi_binary,
    "Dict": _dict,
}
# Bytes of the bounds of a Box; a coloured picture of 4K has 25 million.
_MAX_BOX = 64 * 2**20
# One-hot inputs: more than any agent has, little enough for memory.
_MAX_SIZE = 10**6


def _size(value: float, where: str) -> int:
    if not 0 < value <= _MAX_SIZE or value != int(value):
        raise UnsafeFileError(f"{where}: a space of {str(value)[:20]} values; at most {_MAX_SIZE} are read.")
    return int(value)


def to_json(space: spaces.Space) -> dict[str, Any]:
    """Return a JSON-able description from which `from_json` makes an equal space.

    Raises:
        SourceError: It is a kind that SB3 cannot train on.
    """
    match space:
        case spaces.Box():
            bounds = {"low": _pack(space.low), "high": _pack(space.high)}
            return {"kind": "Box", "shape": list(space.shape), "dtype": space.dtype.name, **bounds}
        case spaces.Discrete():
            return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
        case spaces.MultiDiscrete():
            sizes = {"nvec": space.nvec.tolist(), "start": space.start.tolist()}
            return {"kind": "MultiDiscrete", "dtype": space.dtype.name, **sizes}
        case spaces.MultiBinary():
            return {"kind": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.n)}
        case spaces.Dict():
            return {"kind": "Dict", "spaces": {key: to_json(part) for key, part in space.spaces.items()}}
    raise SourceError(f"a {type(space).__name__} space is none that SB3 trains on; flatten it first.")


def from_json(data: Mapping[str, Any], where: str = "space") -> spaces.Space:
    """Return the space that `to_json` described.

    Raises:
        SourceError: The description is broken.
    """
    try:
        match data["kind"]:
            case "Box":
                return _box_from_json(data, where)
            case "Discrete":
                return spaces.Discrete(_size(data["n"], where), start=int(data["start"]))
            case "MultiDiscrete":
                kind, nvec = _named_dtype(data["dtype"], where), np.asarray(data["nvec"])
                _size(int(nvec.sum()), where)
                return spaces.MultiDiscrete(nvec, dtype=kind.type, start=np.asarray(data["start"]))
            case "MultiBinary":
                size = data["n"]
                _size(math.prod(size) if isinstance(size, list) else size, where)
                return spaces.MultiBinary(size)
            case "Dict":
                return _dict_from_json(data["spaces"], where)
    except (KeyError, AssertionError, ValueError, TypeError, OverflowError, AttributeError) as error:
        raise SourceError(f"{where}: broken description of a space ({str(error)[:120]}); save it again.") from error
    raise SourceError(f"{where}: no kind of space `{str(data['kind'])[:40]}`; save the agent again.")


def _dict_from_json(parts: Mapping[str, Any], where: str) -> spaces.Space:
    if not 0 < len(parts) <= _MAX_KEYS or any(part["kind"] == "Dict" for part in parts.values()):
        raise SourceError(f"{where}: no Dict of 1 to {_MAX_KEYS} flat spaces; save the agent again.")
    # One number stands for all bounds of a Box: many of them are small in a file and large in memory.
    if sum(math.prod(part["shape"]) for part in parts.values() if part["kind"] == "Box") > _MAX_BOX // 4:
        raise UnsafeFileError(f"{where}: a Dict of {len(parts)} spaces that are larger than any observation; refused.")
    return spaces.Dict(OrderedDict((key, from_json(part, where)) for key, part in parts.items()))


def _box_from_json(data: Mapping[str, Any], where: str) -> spaces.Space:
    kind, shape = _named_dtype(data["dtype"], where), tuple(int(n) for n in data["shape"])
    if len(shape) > 32 or min(shape, default=1) < 0 or math.prod(shape) * kind.itemsize > _MAX_BOX:
        raise UnsafeFileError(f"{where}: a Box of shape {str(shape)[:60]}; refused.")
    return make_box(_unpack(data["low"], shape, kind), _unpack(data["high"], shape, kind), kind)


def _named_dtype(name: Any, where: str) -> np.dtype:
    if name not in ("bool", "float16", "float32", "float64") and not str(name).removeprefix("u").startswith("int"):
        raise UnsafeFileError(f"{where}: numbers of type {str(name)[:20]!r}; only plain numbers are read.")
    return np.dtype(str(name))


def _pack(bound: np.ndarray) -> Any:
    """Return one number where all are the same, else the flat list; infinity, which JSON lacks, as text."""
    flat = [value if math.isfinite(value) else repr(value) for value in bound.ravel().tolist()]
    return flat[0] if flat and all(value == flat[0] for value in flat) else flat


def _unpack(packed: Any, shape: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    convert = float if kind.kind == "f" else int
    if isinstance(packed, list):
        return np.array([convert(value) for value in packed], dtype=kind).reshape(shape)
    return np.full(shape, convert(packed), dtype=kind)
