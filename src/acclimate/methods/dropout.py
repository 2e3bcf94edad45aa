"""Drop hidden units at random while the network is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import Parameter

from acclimate.errors import ConfigError
from acclimate.method import Context, Method, Signals
from acclimate.net import Acting, Net
from acclimate.select import Select
from acclimate.surgery import extract, insert


class PlainDropout(nn.Dropout):
    """Draws a new mask at each forward pass in training mode."""


class ConsistentDropout(nn.Module):
    """Drops the same units for every row and every pass until it is told to draw again.

    It is at work in training mode and while the network acts in a rollout, so that the likelihood of an
    action is the same when it is taken and when its update begins.
    """

    def __init__(self, p: float, acting: Acting) -> None:
        super().__init__()
        self.p = p
        self.acting = acting
        self.mask: Tensor | None = None
        self._seed = 0

    def draw(self, seed: int) -> None:
        """Draw a new mask at the next pass, which tells its shape."""
        self._seed = seed
        self.mask = None

    def forward(self, units: Tensor) -> Tensor:
        """Return the units, (batch, ...), those kept divided by 1 - p."""
        if not (self.training or self.acting.on):
            return units
        if self.mask is None:
            # A generator of its own: a resumed run has the same mask, and nobody's random numbers move.
            generator = torch.Generator().manual_seed(self._seed)
            kept = torch.rand(units.shape[1:], generator=generator) >= self.p
            self.mask = (kept / (1.0 - self.p)).to(units)
        return units * self.mask


@dataclass(frozen=True, kw_only=True)
class Dropout(Method):
    """Mask hidden units h in training: h <- m * h / (1 - p), where m_i = 0 with probability p, else 1.

    Critics and Q-networks draw a mask at each pass of an update, and neither act nor evaluate with one. An
    actor of PPO or A2C (and a trunk that it shares) keeps one mask through a rollout and its updates: with
    fresh masks the probability ratio of the first update would not be 1, since SB3 collects in evaluation
    mode and trains in training mode.

    Source: Srivastava et al. 2014 (JMLR 15); in deep Q-networks Farebrother, Machado and Bowling 2018,
    "Generalization and Regularization in DQN" (arXiv:1810.00123), with 0.05 after convolutions and 0.1 after
    the first linear layer, in the training before fine-tuning; in critics Hiraoka et al. 2022, "Dropout
    Q-Functions for Doubly Efficient Reinforcement Learning" (arXiv:2110.02034), with 0.01. That it helps
    *while* fine-tuning is not what these papers show: compare.
    """

    name: ClassVar[str] = "dropout"
    family: ClassVar[str] = "dropout"
    lasting: ClassVar[bool] = False

    p: float = 0.05
    """Probability that a unit is dropped. Higher: more regular, less overfitting to few data, noisier values.
    Much less than in supervised learning serves here."""
    on: Select = Select("critic|q")
    """Which networks or layers; the layers that outputs come from are left out. On actors it also makes
    rollouts noisier."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.p < 1.0:
            raise ConfigError(f"dropout.p is {self.p}; give a probability between 0 and 1, 0.05 for example")

    def inject(self, net: Net, context: Context) -> None:
        """Put a mask after every hidden layer, and after its activation where that is known."""
        for outlet in _outlets(net):
            insert(outlet, ConsistentDropout(self.p, net.acting) if net.on_policy else PlainDropout(self.p))

    def init(self, net: Net, context: Context) -> int:
        """Return the seed of the masks."""
        return context.seed

    def rollout(self, net: Net, state: int, signals: Signals) -> int:
        """Draw new masks for the rollout and its updates."""
        for place, outlet in enumerate(_outlets(net)):
            for module in outlet.children():
                if isinstance(module, ConsistentDropout):
                    entropy = [state, crc32(net.role.encode()), signals.rollout, place]
                    module.draw(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        return state

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the weights of networks that have a hidden layer here."""
        return net.whole().parameters() if _outlets(net) else []

    def fold(self, net: Net, state: Any, context: Context) -> None:
        """Take the masks out."""
        for outlet in _outlets(net):
            extract(outlet, ConsistentDropout if net.on_policy else PlainDropout)


def _outlets(net: Net) -> list[nn.Module]:
    """Return what hidden units come out of, in the network and in its twin, each once."""
    outlets = [outlet for layer in net.layers() if not layer.head for outlet in layer.outlets]
    return list({id(outlet): outlet for outlet in outlets}.values())
