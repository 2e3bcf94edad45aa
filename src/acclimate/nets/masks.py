"""What is kept and what is left out, at random, while a network is trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from acclimate.nets.net import Acting, Net
from acclimate.nets.seeding import seed_of


class Masked(nn.Module):
    """A module with a mask, whose entries are 0 with probability p and else 1; without one in evaluation mode.

    With `acting` one mask stays, for every row and every pass, until it is told to draw again, and it is at work
    while the network acts in a rollout too: so the likelihood of an action is the same when it is taken and when its
    update begins. Without, each pass has a mask of its own.
    """

    def __init__(self, p: float, acting: Acting | None = None) -> None:
        super().__init__()
        self.p = p
        self.acting = acting
        self.mask: Tensor | None = None
        self._seed = 0

    @property
    def works(self) -> bool:
        """Whether anything is left out now."""
        return self.training or (self.acting is not None and self.acting.on)

    def draw(self, seed: int) -> None:
        """Draw a new mask at the next pass, which tells its shape."""
        self._seed = seed
        self.mask = None

    def kept(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return a mask of this shape: fresh, or the one that stays."""
        if self.acting is None:
            return (torch.rand(tuple(shape), device=like.device) >= self.p).to(like.dtype)
        if self.mask is None or self.mask.shape != tuple(shape):
            # A generator of its own: a resumed run has the same mask, and nobody's random numbers move.
            generator = torch.Generator().manual_seed(self._seed)
            self.mask = (torch.rand(tuple(shape), generator=generator) >= self.p).to(like)
        return self.mask


def acting_of(net: Net) -> Acting | None:
    """Return what makes the masks of a network stay, None where each pass may have its own."""
    return net.acting if net.on_policy else None


def redraw(hosts: Iterable[nn.Module], kind: type[Masked], *, seed: int, role: str, rollout: int) -> None:
    """Draw new masks for a rollout and its updates, from the seed, the role and the number of the rollout."""
    masked = [part for host in hosts for part in host.modules() if isinstance(part, kind)]
    for place, module in enumerate(masked):
        module.draw(seed_of(seed, role, rollout, place))


class Dropping(Masked):
    """Sets units to zero and divides those kept by 1 - p."""

    def __init__(self, p: float, acting: Acting | None = None, *, channels: bool = False) -> None:
        super().__init__(p, acting)
        self.channels = channels

    def forward(self, units: Tensor) -> Tensor:
        """Return the units, (batch, units) or (batch, channels, ...), with some of them dropped."""
        if not self.works:
            return units
        shape = units.shape
        if self.channels:
            shape = (*units.shape[:2], *(1,) * (units.dim() - 2))
        # A mask that stays is the same for every row.
        return units * self.kept(shape if self.acting is None else shape[1:], units) / (1.0 - self.p)


def outlets(net: Net) -> dict[nn.Module, bool]:
    """Return what hidden units come out of, in the network and in its twin, and whether a convolution made them."""
    activations = [layer.activation for layer in net.whole().layers()]
    found = {}
    for layer in net.layers():
        if not layer.head:
            shared = activations.count(layer.activation) > 1
            for outlet in layer.pair if shared else layer.outlets:
                found[outlet] = not isinstance(layer.module, nn.Linear)
    return found
