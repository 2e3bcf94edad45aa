"""Buffers of a model that has no environment: of their full size, and without memory until something is stored."""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEW = 2
"""Steps that a buffer is built for, before it is given its length."""
SMALL = 2**16
"""Bytes below which an array stays as it is."""


def lengthen(buffer: Any, steps: int) -> None:
    """Give a fresh buffer of SB3's room for `steps` steps of one environment, nothing of which is set aside yet.

    Args:
        buffer: with arrays of (buffer_size, 1, ...) that hold zeros alone.
        steps: its new `buffer_size`.
    """
    held = buffer.buffer_size
    for name, stored in vars(buffer).items():
        if isinstance(stored, dict):
            longer: Any = {key: _longer(part, held, steps) for key, part in stored.items()}
        else:
            longer = _longer(stored, held, steps)
        setattr(buffer, name, longer)
    buffer.buffer_size = steps


def _longer(stored: Any, held: int, steps: int) -> Any:
    if not isinstance(stored, np.ndarray) or stored.ndim < 2 or len(stored) != held:
        return stored
    return untouched((steps, *stored.shape[1:]), stored.dtype)


def untouched(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return zeros whose pages are only set aside when they are first written.

    `numpy.zeros` does that too, but clears memory that was used before, whenever the C library has such at hand.
    """
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if size < SMALL:
        return np.zeros(shape, dtype)
    # Not shared with processes that are forked later.
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if os.name == "posix" else {}
    return np.ndarray(shape, dtype, buffer=mmap.mmap(-1, size, **private))
