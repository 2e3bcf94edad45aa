"""Memory that two processes share: what is asked of environments and what comes of it, without a message.

One process writes and then counts; the other sees the count and then reads. Processors of the x86 family keep that
order of writes, others need not: there nothing is shared, and all goes by messages.
"""

from __future__ import annotations

import math
import mmap
import platform
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Array = NDArray[Any]
Infos = list[dict[str, Any]]
_ASKED, _ANSWERED, _FORM, _ASLEEP = range(4)
_BY_MESSAGE = -1
"""The form of what comes by a message."""
_NUMBERS = 64
"""Of what one environment says of a step."""
_FORMS = 64
"""As many forms of infos are known; what comes in another one comes by messages."""
_PLAIN = (np.float64, np.float32, np.int64, np.int32, np.bool_, float, int, bool)
_EXACT = 1 << 53
"""Up to here an integer is the same as a float."""
_LINE = 64


class Board:
    """The steps of some environments."""

    def __init__(self, n: int, seen: spaces.Box, done: gym.Space[Any]) -> None:
        """Reserve the memory, before the fork.

        Args:
            n: how many environments.
            seen: the space of observations.
            done: that of actions.
        """
        wanted = (
            ((n, *(done.shape or ())), done.dtype),
            ((n, *seen.shape), seen.dtype),
            ((n,), np.float32),
            ((n,), np.bool_),
            ((n * _NUMBERS,), np.float64),
        )
        sizes = [_LINE, *(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in wanted)]
        begins = np.cumsum([0, *(-(-size // _LINE) * _LINE for size in sizes)])
        memory = mmap.mmap(-1, int(begins[-1]))
        self._counts = memoryview(memory)[:_LINE].cast("q")
        self.actions, self._seen, self._rewards, self._dones, self._numbers = (
            np.ndarray(shape, dtype, memory, int(begin))
            for (shape, dtype), begin in zip(wanted, begins[1:], strict=False)
        )
        self._known: dict[Any, int] = {}
        self._forms: list[Any] = []

    @staticmethod
    def fits(seen: gym.Space[Any], done: gym.Space[Any]) -> bool:
        """Tell whether steps in these spaces can be shared here."""
        plain = isinstance(done, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary | spaces.Box)
        return isinstance(seen, spaces.Box) and plain and platform.machine() in ("x86_64", "AMD64")

    def takes(self, actions: Any) -> bool:
        """Tell whether actions can be asked for here."""
        there = self.actions
        return type(actions) is np.ndarray and actions.dtype == there.dtype and actions.shape == there.shape

    @property
    def asked(self) -> bool:
        """Whether a step was asked for that has no answer yet."""
        return self._counts[_ASKED] != self._counts[_ANSWERED]

    @property
    def asleep(self) -> bool:
        """Whether the process that steps has stopped looking here all the time."""
        return bool(self._counts[_ASLEEP])

    @asleep.setter
    def asleep(self, asleep: bool) -> None:
        self._counts[_ASLEEP] = asleep

    def ask(self, actions: Array) -> None:
        """Ask for a step."""
        self.actions[...] = actions
        self._counts[_ASKED] += 1

    def write(self, seen: Array, rewards: Array, dones: Array, infos: Infos) -> bool:
        """Answer, and return True; False where that can be done by a message alone, which `defer` announces."""
        form = self._known.get(_form(infos))
        numbers = [value for info in infos for value in info.values()]
        if form is None or any(type(value) in (int, np.int64) and abs(value) > _EXACT for value in numbers):
            return False
        self._numbers[: len(numbers)] = numbers
        self._seen[...], self._rewards[...], self._dones[...] = seen, rewards, dones
        self._answer(form)
        return True

    def defer(self) -> None:
        """Say that a message follows."""
        self._answer(_BY_MESSAGE)

    def _answer(self, form: int) -> None:
        self._counts[_FORM] = form
        self._counts[_ANSWERED] = self._counts[_ASKED]

    def read(self) -> tuple[Array, Array, Array, Infos] | None:
        """Return the answer, None where it comes by a message."""
        form = self._counts[_FORM]
        if form == _BY_MESSAGE:
            return None
        numbers, infos = iter(self._numbers), []
        for one in self._forms[form]:
            # The names come first: what is left of the numbers is the next environment's.
            pairs = zip(one, numbers, strict=False)
            infos.append({key: value if kind is np.float64 else kind(value) for (key, kind), value in pairs})
        return self._seen.copy(), self._rewards.copy(), self._dones.copy(), infos

    def learn(self, infos: Infos) -> None:
        """Know the form of what came by a message; both processes learn the same ones in the same order."""
        form = _form(infos)
        if form is None or form in self._known or len(self._forms) == _FORMS:
            return
        if sum(map(len, form)) <= len(self._numbers):
            self._known[form] = len(self._forms)
            self._forms.append(form)


def _form(infos: Infos) -> Any:
    """Return the names and types of what is said, None where there are others than plain numbers."""
    form = tuple(tuple((key, type(value)) for key, value in info.items()) for info in infos)
    return form if all(kind in _PLAIN for one in form for _, kind in one) else None
