"""The gradients of divergences at what a network puts out, in closed form."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from acclimate.nets.outputs import ActionValues, Categorical, Gaussian, Outputs, Point

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
    # In numpy, whose calls cost less than torch's on so few numbers.
    mean, log_std, before, log_before = (
        value.detach().numpy() for value in (now.mean, now.log_std, prior.mean, prior.log_std)
    )
    gap, further = mean - before, log_std - log_before
    at_mean = gap * np.exp(-2.0 * (log_std if forward else log_before))
    shift = gap * at_mean
    if forward:
        spread = np.exp(-2.0 * further)
        apart, at_log_std = further + 0.5 * (spread + shift - 1.0), 1.0 - spread - shift
    else:
        spread = np.exp(2.0 * further)
        apart, at_log_std = 0.5 * (spread + shift - 1.0) - further, np.broadcast_to(spread - 1.0, gap.shape).copy()
    slopes = {"mean": torch.from_numpy(at_mean), "log_std": torch.from_numpy(at_log_std)}
    return torch.from_numpy(apart.sum(-1)), slopes


def _categorical(now: Tensor, prior: Tensor, forward: bool) -> tuple[Tensor, Tensor]:
    log_q, log_p = F.log_softmax(now, -1), F.log_softmax(prior, -1)
    if forward:
        p = log_p.exp()
        return (p * (log_p - log_q)).sum(-1), log_q.exp() - p
    q, gap = log_q.exp(), log_q - log_p
    apart = (q * gap).sum(-1)
    return apart, q * (gap - apart[:, None])
