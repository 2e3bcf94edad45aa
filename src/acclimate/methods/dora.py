"""Train size and direction of each output's weights apart, the direction by a low-rank change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter

from acclimate.methods.lora import LoRA, LowRank


class Decomposed(LowRank):
    """A weight whose rows have a trained size, and a direction that a low-rank change turns."""

    def __init__(self, weight: Tensor, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__(weight, rank, scale, generator)
        self.size = Parameter(_sizes(weight))

    def forward(self, weight: Tensor) -> Tensor:
        """Return size * (weight + change) / |weight + change|, row by row; the norm counts as a constant."""
        turned = super().forward(weight)
        factor = self.size / _sizes(turned.detach())
        return turned * factor.view(-1, *(1,) * (weight.dim() - 1))


def _sizes(weight: Tensor) -> Tensor:
    # A row of zeros has no direction: it stays zero, where a division by zero would spread.
    return torch.linalg.vector_norm(weight.flatten(1), dim=1).clamp_min(torch.finfo(weight.dtype).tiny)


@dataclass(frozen=True, kw_only=True)
class DoRA(LoRA):
    """Train size m and direction of each output's weights: W <- m * (W0 + D) / |W0 + D|, D = (alpha / rank) B A.

    The norm is taken row by row: over the inputs of an output unit, over channels and kernel of an output channel. B
    = 0 and m = |W0| at the start, so that W = W0. In the gradient the norm counts as a constant, as in section 4.3 of
    the paper. W0 is frozen; the result is computed in the weights and folds away at the end.

    Source: Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation" (arXiv:2402.09353), there for language and
    vision models. Use it in the place of `lora` where outputs change in size as well as in direction, at low ranks
    above all: size is one number for each output, and takes no part of the rank. It costs a norm of every weight in
    each pass of training. It loses, as `lora` does, where the change wants full rank; a unit whose weights are all
    zero stays dead.
    """

    name: ClassVar[str] = "dora"
    family: ClassVar[str] = "adapter"

    rank: int = 8
    """Rank of the change of direction. Higher: more can change and is forgotten."""
    alpha: float = 8.0
    """Strength of that change is alpha / rank. Higher: the same step of A and B turns the weights further."""
    rate: float = 1.0
    """Factor of the learning rate of A, B and m. Higher: adapts faster, less steadily."""

    module: ClassVar[type[LowRank]] = Decomposed
