"""The tiers that ask several networks, and measure how far they disagree."""

from __future__ import annotations

import torch
from torch import Tensor

from acclimate.guard.tiers.reasons import Reason
from acclimate.guard.tiers.tier import MOST, Seen, State, Tier, given


class Ensemble(Tier):
    """How far small networks disagree that imitate the policy, in deviations of what it puts out.

    Each has a random first layer and is fitted to other clean episodes, so that they agree where those have been and
    nowhere else. Source: Lakshminarayanan et al. 2017 (arXiv:1612.01474); Sedlmeier et al. 2020 (arXiv:2001.00496) saw
    such ensembles do better than dropout for agents.
    """

    reason = Reason.UNCERTAINTY
    first: Tensor
    shift: Tensor
    heads: Tensor

    def __init__(self, first: Tensor, shift: Tensor, heads: Tensor) -> None:
        """Hold the weights.

        Args:
            first: (networks, features, hidden).
            shift: (networks, 1, hidden).
            heads: (networks, hidden, outputs).
        """
        super().__init__()
        for name, value in (("first", first), ("shift", shift), ("heads", heads)):
            self.register_buffer(name, value)

    def hidden(self, z: Tensor) -> Tensor:
        """Return what the first layers make of features, (networks, rows, hidden)."""
        return torch.relu(torch.matmul(z[None], self.first) + self.shift)

    def forward(self, seen: Seen, memory: State, limit: Tensor) -> tuple[Tensor, State]:
        """Measure the spread over the networks, averaged over the outputs."""
        return _spread(torch.matmul(self.hidden(seen.z), self.heads)), memory


class Dropped(Tier):
    """How far the policy disagrees with itself while hidden units are left out, in deviations of what it puts out.

    For a network that was trained with dropout. The masks are drawn once and kept, so that whoever asks gets the same
    answer. Source: Gal and Ghahramani 2016 (arXiv:1506.02142).
    """

    reason = Reason.UNCERTAINTY
    masks: Tensor
    gain: Tensor

    def __init__(self, masks: Tensor, gain: Tensor) -> None:
        """Hold what is left out.

        Args:
            masks: (masks, hidden units), 0 for what is, else one over the share of units that is kept.
            gain: (outputs,), one over the deviation of what the policy puts out.
        """
        super().__init__()
        self.register_buffer("masks", masks)
        self.register_buffer("gain", gain)

    def forward(self, seen: Seen, memory: State, limit: Tensor) -> tuple[Tensor, State]:
        """Measure the spread over the masks, averaged over the outputs."""
        return _spread(given(seen.inner.votes, "votes") * self.gain), memory


def _spread(votes: Tensor) -> Tensor:
    """Return the standard deviation over votes, (voters, rows, outputs), averaged over outputs, (rows, 1)."""
    apart = votes - votes.mean(0, keepdim=True)
    return apart.square().mean(0).mean(1, keepdim=True).sqrt().clamp(max=MOST)
