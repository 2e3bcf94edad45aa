"""A covering sample: few rows in which each pair of values of two columns stands together at least once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TypeVar

Row = TypeVar("Row", bound=Sequence[str])


def pairs(row: Sequence[str]) -> set[tuple[int, str, int, str]]:
    """Return the pairs of values that stand together in a row, with their columns."""
    return {(i, row[i], j, row[j]) for i, j in combinations(range(len(row)), 2)}


def covering(rows: Sequence[Row]) -> list[Row]:
    """Return a few of `rows` in which each pair of values that stands together in any of them does so too.

    The row with the most new pairs is taken next, the first of equals, so that equal rows give equal samples.
    """
    left = set().union(*map(pairs, rows)) if rows else set()
    chosen: list[Row] = []
    while left:
        best = max(rows, key=lambda row: len(pairs(row) & left))
        chosen.append(best)
        left -= pairs(best)
    return chosen
