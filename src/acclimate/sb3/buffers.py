"""Replay buffers of agents that only act: of their full size, and without memory until something is stored."""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer


def unset(buffer: Any) -> None:
    """Replace a fresh replay buffer's zeros by zeros whose pages are only set aside when they are written.

    `numpy.zeros` does that too, but clears memory that was used before whenever the C library has such at hand: each
    copy of an agent would then cost what its buffer takes.

    Args:
        buffer: with arrays of (buffer_size, 1, ...); one of another class than SB3's may hold no zeros and is left.
    """
    if type(buffer) not in (ReplayBuffer, DictReplayBuffer):
        return
    for name, stored in vars(buffer).items():
        if isinstance(stored, dict):
            setattr(buffer, name, {key: _unset(part, buffer.buffer_size) for key, part in stored.items()})
        else:
            setattr(buffer, name, _unset(stored, buffer.buffer_size))


def _unset(stored: Any, steps: int) -> Any:
    if not isinstance(stored, np.ndarray) or stored.ndim < 2 or len(stored) != steps or stored.dtype.hasobject:
        return stored
    size = max(1, math.prod(stored.shape) * stored.dtype.itemsize)
    return np.ndarray(stored.shape, stored.dtype, buffer=mmap.mmap(-1, size, access=mmap.ACCESS_COPY))
