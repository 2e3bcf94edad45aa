"""Give memory that is free back to the system, where one phase of a run ends and another begins."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def give_back() -> None:
    """Hand back what has been freed.

    The C library keeps it for later, in pieces between what is still used, and a run would end with the sum of all its
    phases instead of the largest of them. Does nothing where the library is not glibc.
    """
    trim = getattr(_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


def collect() -> None:
    """Free what only cycles hold as well; that looks at every object there is, which takes a tenth of a second."""
    gc.collect()
    give_back()


@contextmanager
def swept() -> Iterator[None]:
    """Free what is made inside and no longer used, cycles too, without a look at all the objects from before."""
    if gc.get_freeze_count():  # somebody else has set objects aside, and would find them back
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
        give_back()


def _library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform.startswith("linux") else None
