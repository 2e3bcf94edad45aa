"""Numbers that a captured update reads anew at each replay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributions import Distribution


class Refused(RuntimeError):  # noqa: N818 (a refusal is no fault)
    """Something in an update cannot be captured; the message says what, as part of a sentence."""


class Number:
    """A number in a tensor without axes, written by the host between two updates."""

    def __init__(self, device: torch.device) -> None:
        # Double precision, as the numbers of Python that it takes the place of.
        self.tensor = torch.zeros((), dtype=torch.float64, device=device)
        self._last: float | None = None

    def write(self, value: float) -> None:
        """Write it, if it is another one than before."""
        if value != self._last:
            self.tensor.fill_(value)
            self._last = value


class Moving:
    """Stands in the place of a number that changes during a run, and refuses to be used.

    A replay would go on with what the number was when the update was captured.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def _refuse(self, *args: Any) -> Any:
        raise Refused(f"a penalty that depends on the `{self._name}` of the run")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __pow__ = __rpow__ = __mod__ = __rmod__ = __floordiv__ = __rfloordiv__ = __neg__ = __abs__ = __round__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _refuse
    __float__ = __int__ = __index__ = __bool__ = __len__ = __iter__ = __getitem__ = __hash__ = _refuse  # type: ignore[assignment]


@contextmanager
def unchecked() -> Iterator[None]:
    """Let torch's distributions take what they are given: their checks would wait for the device."""
    usual = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(usual)
