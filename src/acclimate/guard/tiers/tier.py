"""The tiers of a guard: each gives every row a score that is larger the stranger it is.

All of it is pure tensor code without a branch on data, so that it is exported with the policy it stands before. A tier
holds what it has learnt as buffers, and what it remembers of an episode in the state that goes in and comes out.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from acclimate.guard.features import FAR
from acclimate.guard.tiers.reasons import Reason

State = dict[str, Tensor]
MOST = 1e9
"""The largest score."""


class Inner(NamedTuple):
    """What a filter reads from within the policy, where one of its tiers does."""

    latent: Tensor | None = None
    """(rows, units) that the last layer reads."""
    votes: Tensor | None = None
    """(masks, rows, outputs) of the last layer, with some hidden units left out."""


class Seen(NamedTuple):
    """What the tiers read of a step, a row for each environment."""

    finite: Tensor
    """(rows, entries) of bool."""
    row: Tensor
    """(rows, entries), entries that were not finite as they were last trusted."""
    z: Tensor
    """(rows, features), standardised."""
    trusted: Tensor
    """(rows, features) of the observation that was last trusted."""
    gap: Tensor
    """(rows, 1), steps since then; 0 where the episode has none yet."""
    step: Tensor
    """(rows, 1), steps of the episode before this one."""
    inner: Inner
    """From within the policy."""


class Tier(nn.Module):
    """One kind of strangeness."""

    reason: ClassVar[Reason]

    def memory(self) -> State:
        """Return what it remembers where an episode begins, without the axis of rows."""
        return {}

    def forward(self, seen: Seen, memory: State, limit: Tensor) -> tuple[Tensor, State]:
        """Return the score of each row, (rows, 1), and what is remembered after it."""
        raise NotImplementedError


class NotFinite(Tier):
    """How many entries are no finite numbers."""

    reason = Reason.NOT_FINITE

    def forward(self, seen: Seen, memory: State, limit: Tensor) -> tuple[Tensor, State]:
        """Count them."""
        return (~seen.finite).float().sum(1, keepdim=True), memory


class Bounds(Tier):
    """How far the worst entry is outside of its range, in widths of the range."""

    reason = Reason.BOUNDS
    low: Tensor
    high: Tensor
    width: Tensor

    def __init__(self, low: Tensor, high: Tensor, width: Tensor) -> None:
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        self.register_buffer("width", width)

    def forward(self, seen: Seen, memory: State, limit: Tensor) -> tuple[Tensor, State]:
        """Measure it."""
        beyond = torch.maximum(self.low - seen.row, seen.row - self.high)
        return (beyond / self.width).clamp(0.0, MOST).amax(1, keepdim=True), memory


class Rate(Tier):
    """How fast the fastest feature changed since the last trusted step, where 1 is the fastest that was seen."""

    reason = Reason.RATE
    slowness: Tensor

    def __init__(self, slowness: Tensor) -> None:
        """Hold one over the fastest change of each feature, (features,)."""
        super().__init__()
        self.register_buffer("slowness", slowness)

    def forward(self, seen: Seen, memory: State, limit: Tensor) -> tuple[Tensor, State]:
        """Measure it; where nothing was trusted before, nothing changed."""
        change = ((seen.z - seen.trusted).abs() * self.slowness).amax(1, keepdim=True)
        return torch.where(seen.gap > 0, change / seen.gap.clamp(min=1.0), 0.0).clamp(max=MOST), memory


class Distance(Tier):
    """Mahalanobis' distance from the mean of what was seen."""

    mean: Tensor
    whiten: Tensor
    shift: Tensor

    def __init__(self, mean: Tensor, whiten: Tensor) -> None:
        """Hold the mean, (entries,), and the whitening matrix, (entries, entries)."""
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("whiten", whiten)
        self.register_buffer("shift", -mean @ whiten, persistent=False)

    def length(self, vector: Tensor) -> Tensor:
        """Return the distance of each row of numbers within `FAR`."""
        # In one operator: the mean is taken away after the product.
        white = torch.addmm(self.shift, vector, self.whiten)
        return white.square().sum(1, keepdim=True).sqrt().clamp(max=MOST)


class Mahalanobis(Distance):
    """The distance of the features."""

    reason = Reason.MAHALANOBIS

    def forward(self, seen: Seen, memory: State, limit: Tensor) -> tuple[Tensor, State]:
        """Measure it."""
        return self.length(seen.z), memory


class Latent(Distance):
    """The distance of what the policy's last layer reads."""

    reason = Reason.LATENT

    def forward(self, seen: Seen, memory: State, limit: Tensor) -> tuple[Tensor, State]:
        """Measure it."""
        return self.length(given(seen.inner.latent, "latent").clamp(-FAR, FAR)), memory


class Nearest(Tier):
    """The distance to the k-th nearest of the steps that were kept, in standard deviations."""

    reason = Reason.KNN
    NEIGHBOURS: ClassVar[int] = 3
    references: Tensor

    def __init__(self, references: Tensor) -> None:
        """Hold them, (references, features)."""
        super().__init__()
        self.register_buffer("references", references)

    def forward(self, seen: Seen, memory: State, limit: Tensor) -> tuple[Tensor, State]:
        """Measure it by differences: the shorter way by products loses the small distances in 32 bits."""
        squares = (seen.z[:, None] - self.references[None]).square().sum(2)
        return squares.topk(self.NEIGHBOURS, 1, largest=False).values[:, -1:].sqrt().clamp(max=MOST), memory


def given(inner: Tensor | None, name: str) -> Tensor:
    """Return what was read from within the policy; a guard that needs it is never called without (`Inside.of`)."""
    if inner is None:
        raise ValueError(f"this guard reads the inside of the policy; give `{name}`")
    return inner
