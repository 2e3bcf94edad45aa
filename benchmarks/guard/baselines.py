"""Two detectors of single observations to compare with, as PyOD defines them.

ECOD: Li et al. 2022, "ECOD: Unsupervised Outlier Detection Using Empirical Cumulative Distribution Functions", TKDE.
KNN: Ramaswamy et al. 2000, the distance to the fifth nearest. Both see standardised entries of clean steps alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]
REFERENCES, NEIGHBOURS = 5_000, 5


class ECOD:
    """How rare so small or so large a value is, the rarer of both, summed over the entries.

    That is PyOD's score of one row at a time: the tail that it chooses by skewness is one of the two.
    """

    def __init__(self, clean: Array) -> None:
        self.ordered = np.sort(clean, axis=0)

    def __call__(self, seen: Array) -> Array:
        """Return how strange each row is."""
        n, score = len(self.ordered), np.zeros(len(seen))
        for column, values in zip(self.ordered.T, seen.T, strict=True):
            left = np.searchsorted(column, values, "right")
            right = n - np.searchsorted(column, values, "left")
            score -= np.log((np.minimum(left, right) + 1) / (n + 1))
        return score


class KNN:
    """The distance to the fifth nearest of 5,000 clean steps."""

    def __init__(self, clean: Array) -> None:
        places = np.linspace(0, len(clean) - 1, min(REFERENCES, len(clean))).astype(int)
        self.tree = cKDTree(clean[places])

    def __call__(self, seen: Array) -> Array:
        """Return how strange each row is."""
        return self.tree.query(seen, k=NEIGHBOURS)[0][:, -1]
