"""How the optimisation goes: the size and direction of gradients, and rates that have run into a bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

LATE = 5
"""Logged values that count as the latest."""


def late(values: Sequence[float]) -> float | None:
    """Return the mean of the latest logged values, None without any."""
    return float(np.mean(values[-LATE:])) if len(values) else None


def at_bound(rates: Sequence[float]) -> bool:
    """Tell whether a rate that used to move now stands still at the lowest or the highest it has been."""
    if len(rates) <= LATE or max(rates) <= min(rates):
        return False
    tail = rates[-LATE:]
    return max(tail) == min(tail) and tail[0] in (min(rates), max(rates))


def gradient_norm(parameters: Iterable[Tensor]) -> float | None:
    """Return the Euclidean norm of all gradients together, None where there are none."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return float(get_total_norm(gradients)) if gradients else None


def cosine(first: Sequence[Tensor | None], second: Sequence[Tensor | None]) -> float | None:
    """Return the cosine of two gradients of the same parameters; below 0 they pull apart. None where one is zero.

    A parameter that one of the two losses does not reach has no gradient (None), which counts as zero.
    """
    dot = one = other = torch.zeros(())
    for a, b in zip(first, second, strict=True):
        if a is not None:
            one = one + _dot(a, a)
        if b is not None:
            other = other + _dot(b, b)
        if a is not None and b is not None:
            dot = dot + _dot(a, b)
    size = (one * other).sqrt()
    return float(dot / size) if size > 0 else None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.flatten(), b.flatten())
