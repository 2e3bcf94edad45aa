"""The gradients of divergences at what a network puts out, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from acclimate.outputs import ActionValues, Categorical, Gaussian, Outputs, Point

Slopes = dict[str, Tensor]
"""The gradient at each tensor of outputs, by its name, with one row for each row of the batch."""


def divergence_slopes(
    outputs: Outputs, prior: Outputs, *, forward: bool, temperature: float, std: float
) -> tuple[Tensor, Slopes] | None:
    """Return how far outputs are from a prior's in each row, (batch,), and the gradient of their sum at the outputs.

    None where no closed form is written here.

    Args:
        outputs: what a network puts out.
        prior: of the same kind.
        forward: KL(prior || outputs); else KL(outputs || prior).
        temperature: of the softmax over action values, in units of value.
        std: of the normal distribution around a single action, in units of the action.
    """
    if isinstance(outputs, Gaussian) and isinstance(prior, Gaussian):
        return _gaussian(outputs, prior, forward)
    if isinstance(outputs, Point) and isinstance(prior, Point):
        gap = (outputs.action - prior.action) / std
        return 0.5 * gap.square().sum(-1), {"action": gap / std}
    if isinstance(outputs, ActionValues) and isinstance(prior, ActionValues):
        apart, slope = _categorical(outputs.values / temperature, prior.values / temperature, forward)
        return apart, {"values": slope / temperature}
    if isinstance(outputs, Categorical) and isinstance(prior, Categorical) and len(outputs.sizes) < 2:
        apart, slope = _categorical(outputs.logits, prior.logits, forward)
        return apart, {"logits": slope}
    return None


def _gaussian(now: Gaussian, prior: Gaussian, forward: bool) -> tuple[Tensor, Slopes]:
    gap = now.mean - prior.mean
    further = now.log_std - prior.log_std
    precision = torch.exp(-2.0 * (now.log_std if forward else prior.log_std))
    at_mean = gap * precision
    shift = gap * at_mean
    if forward:
        spread = torch.exp(-2.0 * further)
        apart = (further + 0.5 * (spread + shift - 1.0)).sum(-1)
        return apart, {"mean": at_mean, "log_std": 1.0 - spread - shift}
    spread = torch.exp(2.0 * further)
    apart = (0.5 * (spread + shift - 1.0) - further).sum(-1)
    return apart, {"mean": at_mean, "log_std": (spread - 1.0).expand_as(at_mean)}


def _categorical(now: Tensor, prior: Tensor, forward: bool) -> tuple[Tensor, Tensor]:
    log_q, log_p = F.log_softmax(now, -1), F.log_softmax(prior, -1)
    if forward:
        p = log_p.exp()
        return (p * (log_p - log_q)).sum(-1), log_q.exp() - p
    q, gap = log_q.exp(), log_q - log_p
    apart = (q * gap).sum(-1)
    return apart, q * (gap - apart[:, None])
