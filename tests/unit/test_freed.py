"""Cycles of a block are freed at its end, and nothing of before is looked at for that."""

from __future__ import annotations

import gc
import weakref

from acclimate.freed import collect, swept


class _Part:
    def __init__(self) -> None:
        self.me = self


def test_cycles_of_a_block_are_freed_with_it() -> None:
    gc.disable()
    try:
        before = weakref.ref(_Part())
        with swept():
            inside = weakref.ref(_Part())
        assert inside() is None
        assert gc.get_freeze_count() == 0
        collect()
        assert before() is None
    finally:
        gc.enable()


def test_what_others_have_set_aside_stays_aside() -> None:
    gc.disable()
    part = weakref.ref(_Part())
    gc.freeze()
    try:
        with swept():
            pass
        # How many objects are set aside changes by itself, as some of them end. This one ends in a collection alone,
        # which looks at it only where it is no longer set aside.
        gc.collect()
        assert part() is not None
    finally:
        gc.unfreeze()
        gc.enable()
    gc.collect()
    assert part() is None
