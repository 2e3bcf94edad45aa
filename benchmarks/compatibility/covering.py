"""A covering sample: few rows that hold each pair of values that any of the rows holds."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

Row = TypeVar("Row")


def covering(rows: Sequence[Row], pairs: Callable[[Row], set[Hashable]]) -> list[Row]:
    """Return a few of `rows` that together hold every pair that any of them holds.

    The row with the most new pairs is taken next, the first of equals, so that equal rows give equal samples.

    Args:
        rows: to choose from.
        pairs: returns those of a row.
    """
    left = set().union(*map(pairs, rows))
    chosen: list[Row] = []
    while left:
        best = max(rows, key=lambda row: len(pairs(row) & left))
        chosen.append(best)
        left -= pairs(best)
    return chosen
