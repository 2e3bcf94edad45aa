"""The tiers that look back: at the last steps, and at all of an episode."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from acclimate.guard.tiers.reasons import Reason
from acclimate.guard.tiers.tier import MOST, Seen, State, Tier

NEAR = 10.0
"""Deviations that a single step counts for at most, so that a spike does not fill a window."""


class Statistics(Tier):
    """How far mean, spread or autocorrelation of a feature over the last steps is from what it was.

    Source: "DEEDEE" (arXiv:2510.21638), which compares such statistics of an episode.
    """

    reason = Reason.STATISTICS
    mean: Tensor
    gain: Tensor

    def __init__(self, mean: Tensor, gain: Tensor, window: int) -> None:
        """Hold what windows had.

        Args:
            mean: (3 * features,), of the statistics over clean windows.
            gain: (3 * features,), one over their deviation, zero where they never moved.
            window: how many steps they are taken of.
        """
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("gain", gain)
        self.window = window

    def memory(self) -> State:
        """Return an empty window."""
        return {"window": torch.zeros(self.window, len(self.mean) // 3)}

    def forward(self, seen: Seen, memory: State, limit: Tensor) -> tuple[Tensor, State]:
        """Measure the most unusual of them, once the window is full."""
        window = torch.cat([memory["window"][:, 1:], seen.z.clamp(-NEAR, NEAR)[:, None]], 1)
        score = ((moments(window) - self.mean) * self.gain).abs().amax(1, keepdim=True).clamp(max=MOST)
        return torch.where(seen.step + 1 >= self.window, score, 0.0), {"window": window}


def moments(window: Tensor) -> Tensor:
    """Return mean, log spread and lag-1 autocorrelation over windows, (rows, steps, features) to (rows, 3 features)."""
    mean = window.mean(1, keepdim=True)
    apart = window - mean
    variance = apart.square().mean(1)
    together = (apart[:, 1:] * apart[:, :-1]).mean(1)
    # A sensor that is stuck has no spread, and no autocorrelation that rounding would not make up.
    return torch.cat([mean[:, 0], 0.5 * torch.log(variance + 1e-4), together / (variance + 1e-2)], 1)


class Sequence(Tier):
    """The largest cumulative sum of deviations to one side beyond an allowance: Page's CUSUM (1954), per feature."""

    reason = Reason.SEQUENCE
    ALLOWANCE: ClassVar[float] = 0.5

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def memory(self) -> State:
        """Return sums of nothing, upwards and downwards."""
        return {"sums": torch.zeros(2 * self.features)}

    def forward(self, seen: Seen, memory: State, limit: Tensor) -> tuple[Tensor, State]:
        """Go on with the sums; none grows far beyond the limit, so that an end of the fault is seen too."""
        z = seen.z.clamp(-NEAR, NEAR)
        sums = memory["sums"] + torch.cat([z, -z], 1) - self.ALLOWANCE
        sums = torch.minimum(sums.clamp(min=0.0), 1.5 * limit + NEAR)
        return sums.amax(1, keepdim=True), {"sums": sums}
