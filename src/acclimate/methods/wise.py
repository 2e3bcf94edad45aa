"""Go back a part of the way to the pretrained weights, as far as that helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from acclimate.errors import ConfigError, SurgeryError
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method


@dataclass(frozen=True, kw_only=True)
class WiSE(Method):
    """At the end of training, interpolate between the pretrained weights theta0 and the tuned ones theta.

    theta <- (1 - a) theta0 + a theta,  a in `shares` or 1, whichever the evaluated policy returns most with
    One a holds for all networks. On ties the tuned weights stay. Running statistics and target networks go along.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (arXiv:2109.01903), on image models; that
    it helps policies is not shown there. It costs nothing in training, and one evaluation for each share and one
    more at its end, which are charged.

    Use it where fine-tuning went too far: a small shift, few steps, noisy gradients. It loses where weights moved
    far, since networks between two good ones can be bad. The best of several noisy evaluations looks better than it
    is; the kept agent is therefore judged on other episodes.

    What methods add goes back towards what it was before training, where it had no effect: scales of `channel` to
    1, shifts to 0. So a = 0 is the pretrained network with any of them; in between a product of two trained
    factors, such as those of a low-rank update, does not move on a straight line.
    """

    name: ClassVar[str] = "wise"
    family: ClassVar[str] = "regularisation"

    shares: tuple[float, ...] = (0.25, 0.5, 0.75)
    """The shares of the way that are tried besides all of it. More of them: a finer choice for more evaluation
    steps. Lower ones: more of what was pretrained."""
    on: Select = Select("*")
    """Which weights go back. Parts alone can fit badly to what the rest has become."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.shares or not all(0.0 <= share < 1.0 for share in self.shares):
            raise ConfigError(f"wise.shares is {self.shares}; give shares from 0 to below 1, such as [0.25, 0.5, 0.75]")

    def init(self, net: Net, context: Context) -> dict[str, Any]:
        """Return all weights and running statistics as they are before training.

        Raises:
            SurgeryError: if nobody can evaluate the policy at the end.
        """
        if not context.evaluates:
            raise SurgeryError("`wise` chooses by evaluating the policy, and nothing here can; give `evaluate`")
        return {
            "weights": {p: p.detach().clone() for p in net.parameters()},
            "others": [tensor.detach().clone() for tensor in _others(net)],
        }

    def finish(self, nets: Sequence[Net], states: Mapping[str, Any], context: Context) -> None:
        """Take the share of the way that evaluates best."""
        live: list[Tensor] = []
        starts: list[Tensor] = []
        for net in nets:
            before = states[net.role]
            live += [*net.parameters(), *_others(net)]
            starts += [*(before["weights"][p] for p in net.parameters()), *before["others"]]
        ends = [tensor.detach().clone() for tensor in live]
        best, most = 1.0, context.evaluate()
        for share in sorted(set(self.shares), reverse=True):
            _go(live, starts, ends, share)
            found = context.evaluate()
            if found > most:
                best, most = share, found
        _go(live, starts, ends, best)


@torch.no_grad()
def _go(live: list[Tensor], starts: list[Tensor], ends: list[Tensor], share: float) -> None:
    for tensor, start, end in zip(live, starts, ends, strict=True):
        # lerp is exact at 1 and where both ends are equal, so what is frozen stays bit for bit.
        tensor.copy_(torch.lerp(start, end, share))


def _others(net: Net) -> list[Tensor]:
    """Return what belongs to the weights in view but is trained by nobody: statistics, and all of the twin's."""
    named = list(net.module.named_buffers())
    if net.twin is not None:
        named += [*net.twin.named_buffers(), *net.twin.named_parameters()]
    return [tensor for path, tensor in named if tensor.is_floating_point() and net.holds(path)]
