"""NumPy's arrays, types and scalars as pickles write them, rebuilt from inert records."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from acclimate.errors import SourceError, UnsafeFileError
from acclimate.files.pickles import Made, Token

_MODULES = (
    "numpy",
    "numpy.core.multiarray",
    "numpy._core.multiarray",
    "numpy.core.numeric",
    "numpy._core.numeric",
)
_DTYPE = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248])")
_SCALARS = frozenset(
    [
        "bool",
        "bool_",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
    ]
)


def is_numpy(value: Any, name: str) -> bool:
    """Return whether `value` is a call of NumPy's function `name`."""
    return isinstance(value, Made) and value.what.name == name and value.what.module in _MODULES


def dtype(value: Any, where: str) -> np.dtype:
    """Return the type of numbers that a record describes.

    Raises:
        UnsafeFileError: It is not one of plain numbers (objects, text and structures are refused).
    """
    if isinstance(value, Token) and value.module == "numpy" and value.name in _SCALARS:
        return np.dtype(value.name.rstrip("_"))
    if not (is_numpy(value, "dtype") and value.args and isinstance(value.args[0], str)):
        raise UnsafeFileError(f"{where}: a type of numbers that is none; refused.")
    text, order, fields = value.args[0], "=", None
    if value.state is not None:
        if not (isinstance(value.state, tuple) and len(value.state) >= 5):
            raise SourceError(f"{where}: broken description of a type of numbers.")
        order, fields = value.state[1], value.state[2:5]
    if not _DTYPE.fullmatch(text) or order not in ("<", ">", "=", "|") or fields not in (None, (None, None, None)):
        raise UnsafeFileError(f"{where}: numbers of type {text[:20]!r}; only plain numbers are read.")
    return np.dtype(text).newbyteorder(order)


def array(value: Any, where: str) -> np.ndarray:
    """Return the array that a record describes, in native byte order and memory of its own.

    Raises:
        SourceError: It describes none, or its bytes do not fill its shape.
    """
    if is_numpy(value, "_reconstruct"):
        state = value.state
        if not (isinstance(state, tuple) and len(state) == 5):
            raise SourceError(f"{where}: an array without its numbers.")
        _, shape, kind, fortran, raw = state
        order = "F" if fortran else "C"
    elif is_numpy(value, "_frombuffer"):
        if len(value.args) != 4:
            raise SourceError(f"{where}: an array without its numbers.")
        raw, kind, shape, order = value.args
    else:
        raise SourceError(f"{where}: something that is no array where an array belongs.")
    return _fill(raw, dtype(kind, where), shape, order, where)


def plain(value: Any, where: str) -> Any:
    """Return an array or a number that a record describes, anything else as it is."""
    if is_numpy(value, "_reconstruct") or is_numpy(value, "_frombuffer"):
        return array(value, where)
    return scalar(value, where) if is_numpy(value, "scalar") else value


def _fill(raw: Any, kind: np.dtype, shape: Any, order: Any, where: str) -> np.ndarray:
    sizes_ok = isinstance(shape, tuple) and len(shape) <= 32 and all(type(n) is int and n >= 0 for n in shape)
    if not (sizes_ok and isinstance(raw, (bytes, bytearray)) and order in ("C", "F")):
        raise SourceError(f"{where}: an array of unreadable shape.")
    if math.prod(shape) * kind.itemsize != len(raw):
        raise SourceError(f"{where}: an array whose {len(raw)} bytes do not fill its shape.")
    filled = np.frombuffer(raw, dtype=kind).reshape(shape, order=order)
    return filled.astype(kind.newbyteorder("="), order="C")


def scalar(value: Any, where: str) -> bool | int | float:
    """Return the plain number that a record or a number is.

    Raises:
        SourceError: It is no number.
    """
    if isinstance(value, (bool, int, float)):
        return value
    if is_numpy(value, "scalar") and len(value.args) == 2:
        return _fill(value.args[1], dtype(value.args[0], where), (), "C", where).item()
    if is_numpy(value, "_reconstruct") or is_numpy(value, "_frombuffer"):
        found = array(value, where)
        if found.size == 1:
            return found.item()
    raise SourceError(f"{where}: something that is no number where a number belongs.")
