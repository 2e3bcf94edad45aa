"""The action that a policy takes, from what its network puts out: SB3's own numbers and draws, with fewer calls.

For one row alone the choice among several options is made without normalising the odds, unless two of them are so
close that rounding could decide; then the odds are computed as SB3's distributions compute them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

Array = NDArray[Any]
Exact = Callable[[], Tensor]
"""Returns the outputs of the one row as torch computes them, (1, out)."""

CLEAR = 1e-4
"""How far the best of several options must be ahead, to be the best however numbers are rounded."""


@dataclass(frozen=True)
class Choice:
    """A way to choose; the second argument says whether the likeliest action is wanted."""

    rows: Callable[[Tensor, bool], Array]
    """Of outputs (rows, out): an action for each row."""
    one: Callable[[Array, bool, Exact], Array] | None = None
    """Of the outputs of one row, (out,): its action."""


def normal(log_std: Callable[[], Tensor]) -> Choice:
    """Draw around means; the logarithm of the spread, (axes,), is asked for at each draw."""

    def rows(out: Tensor, deterministic: bool) -> Array:
        if deterministic:
            return out.numpy()
        return out.numpy() + torch.randn(out.shape).numpy() * log_std().exp().numpy()

    def one(out: Array, deterministic: bool, exact: Exact) -> Array:
        if deterministic:
            return out
        out += torch.randn(out.shape).numpy() * np.exp(log_std().numpy())
        return out

    return Choice(rows, one)


def squashed(out: Tensor, log_std: Tensor) -> Array:
    """Draw around means (rows, axes), and squash to [-1, 1]."""
    return (out + torch.randn(out.shape) * log_std.exp()).tanh().numpy()


def squashed_one(out: Array, log_std: Array) -> Array:
    """Draw around means (axes,), and squash to [-1, 1]."""
    return np.tanh(out + torch.randn(out.shape).numpy() * np.exp(log_std))


def several(sizes: Sequence[int]) -> Choice:
    """Choose once among options of each size, (rows, choices)."""

    def rows(out: Tensor, deterministic: bool) -> Array:
        return np.stack([OPTION.rows(part, deterministic) for part in out.split(list(sizes), dim=1)], axis=1)

    return Choice(rows)


def _odds(out: Tensor) -> Tensor:
    """Return what SB3's `Categorical` makes of logits."""
    return F.softmax(out - out.logsumexp(dim=-1, keepdim=True), dim=-1)


def _first(out: Tensor, waiting: Tensor) -> Array:
    return (_odds(out) / waiting).argmax(dim=-1).numpy()


def _waiting(shape: Sequence[int]) -> Tensor:
    """Draw what `torch.multinomial` draws: how long each option waits; odds over it say which one comes first."""
    return torch.empty(tuple(shape)).exponential_(1)


def _options(out: Tensor, deterministic: bool) -> Array:
    return _odds(out).argmax(dim=1).numpy() if deterministic else _first(out, _waiting(out.shape))


def _option(out: Array, deterministic: bool, exact: Exact) -> Array:
    if deterministic:
        place = out.argmax()
        if np.count_nonzero(out > out[place] - CLEAR) == 1:
            return place
        return _odds(exact()).argmax(dim=1).numpy()
    waiting = _waiting((1, len(out)))
    race = np.exp(out - out.max())
    race /= waiting.numpy()[0]
    place = race.argmax()
    if np.count_nonzero(race > race[place] * (1.0 - CLEAR)) == 1:
        return place
    return _first(exact(), waiting)


def _coins(out: Tensor, deterministic: bool) -> Array:
    odds = out.sigmoid()
    return (odds.round() if deterministic else torch.bernoulli(odds)).numpy()


def _highest(out: Array, deterministic: bool, exact: Exact) -> Array:
    place = out.argmax()
    clear = np.count_nonzero(out > out[place] - CLEAR * abs(out[place])) == 1
    return place if clear else exact().argmax(dim=1).numpy()


OPTION = Choice(_options, _option)
"""One of several options, by their logits: (rows,)."""
COINS = Choice(_coins)
"""Yes (1) or no (0) to each of several questions, by their logits: (rows, questions)."""
HIGHEST = Choice(lambda out, deterministic: out.argmax(dim=1).numpy(), _highest)
"""The option of the highest value: (rows,)."""
OUTPUT = Choice(lambda out, deterministic: out.numpy(), lambda out, deterministic, exact: out)
"""What was put out."""
