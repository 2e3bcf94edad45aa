"""What of an observation is measured: its numbers one by one, and mean and spread of an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acclimate.guard.layout import Layout

FAR = 1e6
"""Standard deviations beyond which nothing is told apart: a square of it is still exact enough in 32 bits."""


def is_finite(values: Tensor) -> Tensor:
    """Return where values are finite numbers of 32 bits, in two operators of ONNX where `isfinite` has five."""
    return values.abs() <= torch.finfo(torch.float32).max


class Features(nn.Module):
    """Rows to the numbers that are measured, (rows, features); pure tensor code."""

    numbers: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.register_buffer("numbers", torch.tensor(layout.numbers, dtype=torch.int64), persistent=False)
        self.images, self._all = layout.images, layout.numbers == list(range(layout.size))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.numbers) + 2 * len(self.images)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the features of finite rows."""
        if self._all:
            return rows
        found = [rows.index_select(1, self.numbers)]
        for start, size in self.images:
            # In 64 bits: sums of thousands of pixels in 32 differ by their order, which is another in each runtime.
            pixels = rows[:, start : start + size].double()
            mean = pixels.mean(1, keepdim=True)
            found += [mean.float(), (pixels - mean).square().mean(1, keepdim=True).sqrt().float()]
        return torch.cat(found, 1)


class Standard(nn.Module):
    """Features in standard deviations from their mean; those that never moved are zero."""

    mean: Tensor
    gain: Tensor

    def __init__(self, mean: Tensor, gain: Tensor) -> None:
        """Hold what was seen.

        Args:
            mean: (features,).
            gain: (features,), one over the standard deviation, zero for what never moved.
        """
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("gain", gain)

    @classmethod
    def of(cls, seen: Tensor) -> Standard:
        """Learn from the features of steps, (steps, features)."""
        seen = seen.double()
        mean = seen.mean(0)
        deviation = (seen - mean).square().mean(0).sqrt()  # `std` warns where there are no features
        still = deviation <= 1e-6 * mean.abs().clamp(min=1.0)
        gain = torch.where(still, torch.zeros_like(deviation), 1 / deviation.clamp(min=1e-12))
        return cls(mean.float(), gain.float())

    def forward(self, features: Tensor) -> Tensor:
        """Return them standardised, (rows, features)."""
        return ((features - self.mean) * self.gain).clamp(-FAR, FAR)
