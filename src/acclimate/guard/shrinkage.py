"""A covariance that can be inverted, however few or alike the steps are.

Source: Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", J. Multivariate
Analysis 88: the sample covariance drawn towards a multiple of the identity, by the amount that is best on average.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def shrunk_covariance(samples: Floats) -> tuple[Floats, float]:
    """Return the covariance of rows, (features, features), and the share of the identity in it.

    Example:
        >>> covariance, share = shrunk_covariance(np.array([[0.0, 1.0], [0.0, -1.0]]))
        >>> covariance.tolist(), share
        ([[0.0, 0.0], [0.0, 1.0]], 0.0)
    """
    centred = samples - samples.mean(0)
    n, p = centred.shape
    sample = centred.T @ centred / n
    level = np.trace(sample) / p
    apart = float(((sample - level * np.eye(p)) ** 2).sum())
    # The mean squared distance of single outer products from their mean, without making them.
    noise = float((np.einsum("ij,ij->i", centred, centred) ** 2).mean() - (sample**2).sum()) / n
    share = min(max(noise, 0.0) / apart, 1.0) if apart > 0 else 1.0
    return (1 - share) * sample + share * level * np.eye(p), share


def whitening(samples: Floats) -> Floats:
    """Return the matrix W for which the length of `(x - mean) @ W` is Mahalanobis' distance, (features, features)."""
    covariance, _ = shrunk_covariance(samples)
    # A direction in which nothing moved at all is left out rather than divided by nothing.
    values, vectors = np.linalg.eigh(covariance)
    kept = values > 1e-10 * max(float(values.max(initial=0.0)), 1e-300)
    return vectors * np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
