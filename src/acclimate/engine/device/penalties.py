"""The penalties of a run's methods on tensors that a captured update may read.

A weight by schedule is a number of Python that changes; here it is read from a tensor. What else changes in a run is
hidden from the penalties, so that one that asks for it is refused rather than left behind by the replays.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch

from acclimate.engine.device.numbers import Moving, Number
from acclimate.schedule import Schedule
from acclimate.tuning.composition import Composition, Part
from acclimate.tuning.method import Method, Signals

_HOOKS = ("weight_penalty", "output_penalty", "module_penalty")
_SHARED = ("penalties", "forget")
"""Signals that are written to rather than read."""


class Penalties:
    """The same composition for a captured update."""

    def __init__(self, composition: Composition, device: torch.device) -> None:
        """Put tensors in the place of scheduled numbers; the methods themselves stay as they are."""
        self._signals = composition.signals
        self._numbers: list[tuple[Schedule, Number]] = []
        self._idle: list[Method] = []
        self._states: list[dict[str, Any]] = []
        self.composition = copy.copy(composition)
        self.composition.parts = tuple(self._part(part, device) for part in composition.parts)
        names = (field.name for field in dataclasses.fields(Signals))
        hidden = {name: Moving(name) for name in names if name not in _SHARED}
        self.composition.signals = dataclasses.replace(composition.signals, **hidden)

    def _part(self, part: Part, device: torch.device) -> Part:
        method = part.method
        if not method.has(*_HOOKS):
            return part
        self._idle.append(method)
        self._states.append(part.states)
        shadow, signals = copy.copy(method), self._signals
        for field in dataclasses.fields(method):
            value = getattr(method, field.name)
            if isinstance(value, Schedule):
                number = Number(device)
                self._numbers.append((value, number))
                object.__setattr__(shadow, field.name, number.tensor)
        # Whether a penalty is zero is for the host to say.
        object.__setattr__(shadow, "idle", lambda _: method.idle(signals))
        return dataclasses.replace(part, method=shadow)

    def write(self) -> None:
        """Write the numbers as they are now."""
        for schedule, number in self._numbers:
            number.write(schedule(self._signals.progress))

    @property
    def key(self) -> Any:
        """Something that is another one when what was captured of the penalties no longer holds."""
        return tuple(m.idle(self._signals) for m in self._idle), tuple(_told(states) for states in self._states)


def _told(state: Any) -> Any:
    """Return what a captured penalty would take from a state: where tensors are, and other things as they are."""
    if isinstance(state, torch.Tensor):
        return state.data_ptr()
    if isinstance(state, dict):
        return tuple((key if isinstance(key, str) else id(key), _told(value)) for key, value in state.items())
    if isinstance(state, (list, tuple)):
        return tuple(map(_told, state))
    return state if isinstance(state, (bool, int, float, str)) else id(state)
