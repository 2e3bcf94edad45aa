"""What updates read, in tensors that stay where they are: a rollout, or a minibatch from a replay buffer."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acclimate.nets.experience import Batch

_NUMBERS = ("values", "log_probs", "advantages", "returns")
_ALIGNED = 16
"""Bytes; every kind of number may begin at a multiple of it."""


class Rollout:
    """A rollout on the device, in SB3's order: the steps of one environment after another."""

    def __init__(self) -> None:
        self.tensors: dict[str, Any] = {}
        """`observations` (steps, ...) or a dict of them, `actions` (steps, axes), and (steps,) for each number."""

    def load(self, buffer: Any) -> None:
        """Copy a full buffer, once for all minibatches."""
        found = {"observations": buffer.observations, "actions": buffer.actions.astype(np.float32, copy=False)}
        found |= {name: getattr(buffer, name) for name in _NUMBERS}
        for name, array in found.items():
            if isinstance(array, dict):
                known = self.tensors.setdefault(name, {})
                for key, part in array.items():
                    known[key] = _kept(known.get(key), _laid_out(buffer, part))
            else:
                tensor = _laid_out(buffer, array)
                self.tensors[name] = _kept(self.tensors.get(name), tensor.flatten() if name in _NUMBERS else tensor)

    @property
    def key(self) -> Any:
        """Where it is."""
        return tuple(tensor.data_ptr() for tensor in _leaves(self.tensors))

    def rows(self, index: Tensor) -> dict[str, Any]:
        """Return copies of some rows."""
        return {
            name: {key: part[index] for key, part in tensor.items()} if isinstance(tensor, dict) else tensor[index]
            for name, tensor in self.tensors.items()
        }


def _laid_out(buffer: Any, array: Any) -> Tensor:
    tensor = buffer.to_torch(array)
    # Whoever read it before may have laid it out already.
    return tensor if buffer.generator_ready else tensor.transpose(0, 1).flatten(0, 1)


def _kept(known: Tensor | None, now: Tensor) -> Tensor:
    """Return the new numbers where the old ones were, if they fit."""
    if known is None or known.shape != now.shape or known.dtype != now.dtype:
        return now.contiguous().clone()
    return known.copy_(now)


def _leaves(tensors: dict[str, Any]) -> Iterator[Tensor]:
    for value in tensors.values():
        yield from _leaves(value) if isinstance(value, dict) else (value,)


class Minibatch:
    """A minibatch of a replay buffer, taken to the device in one transfer."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._shapes: Any = None
        self.batch = Batch(None)

    @property
    def key(self) -> Any:
        """Where it is."""
        return self._shapes, self._here.data_ptr()

    def load(self, batch: Batch) -> None:
        """Take over a minibatch; its tensors are on the CPU."""
        parts = {name: part for name, part in vars(batch).items() if part is not None}
        shapes = tuple((name, part.shape, part.dtype) for name, part in parts.items())
        if shapes != self._shapes:
            self._make(shapes)
        waiting, views = next(self._ring)
        if self._device.type == "cuda":
            # Until what was taken from here the time before last has arrived.
            waiting.synchronize()
        for name, part in parts.items():
            views[name].copy_(part)
        self._here.copy_(views[""], non_blocking=True)
        if self._device.type == "cuda":
            waiting.record()

    def _make(self, shapes: Any) -> None:
        self._shapes = shapes
        ends = list(itertools.accumulate(_padded(math.prod(shape) * dtype.itemsize) for _, shape, dtype in shapes))
        on_gpu = self._device.type == "cuda"
        self._here = torch.zeros(ends[-1], dtype=torch.uint8, device=self._device)
        self.batch = Batch(**_views(self._here, shapes, ends))
        rings = []
        for _ in range(2):
            whole = torch.zeros(ends[-1], dtype=torch.uint8, pin_memory=on_gpu)
            rings.append((torch.cuda.Event() if on_gpu else None, {"": whole, **_views(whole, shapes, ends)}))
        self._ring: Iterator[Any] = itertools.cycle(rings)

    def change(self, batch: Batch) -> None:
        """Write what methods have made of the minibatch."""
        for name, known in vars(self.batch).items():
            now = getattr(batch, name)
            if now is not known:
                known.copy_(now)


def _padded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _views(whole: Tensor, shapes: Any, ends: list[int]) -> dict[str, Tensor]:
    """Return the parts of a run of bytes."""
    found = {}
    for (name, shape, dtype), begin in zip(shapes, [0, *ends[:-1]], strict=True):
        size = math.prod(shape) * dtype.itemsize
        found[name] = whole[begin : begin + size].view(dtype).view(shape)
    return found
