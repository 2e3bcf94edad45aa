"""How far a policy is from its prior, and how much of its exploration is left."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from acclimate.nets.outputs import ActionValues, Bernoulli, Categorical, Gaussian, Outputs, Point

TEMPERATURE, STD = 1.0, 0.2
"""By which Q-networks and single actions count as policies, as in `Tuner.drift`."""


def step_zero_gap(now: Outputs, saved: Outputs, *, temperature: float = 1.0) -> float | None:
    """Return max|pi - pi0| before the first update, what the warm start opens on purpose left out.

    Means of Gaussians, single actions, log probabilities of choices after undoing the temperature, action values; in
    units of the largest of them where that is above 1, because float32 rounds relative to it.

    Args:
        now: what the policy puts out.
        saved: what the pretrained one does on the same states.
        temperature: by which the warm start divided the logits.
    """
    pair = [_centre(outputs, scale) for outputs, scale in ((now, temperature), (saved, 1.0))]
    if pair[0] is None or pair[1] is None:
        return None
    if isinstance(now, Categorical) and now.allowed is not None:
        pair = [outputs[now.allowed] for outputs in pair]  # type: ignore[index]
    gap = (pair[0] - pair[1]).detach().abs().max()  # type: ignore[operator]
    return float(gap / pair[1].detach().abs().max().clamp(min=1.0))  # type: ignore[union-attr]


def _centre(outputs: Outputs, temperature: float) -> Tensor | None:
    if isinstance(outputs, Gaussian):
        return outputs.mean
    if isinstance(outputs, Categorical):
        sizes = outputs.sizes or (outputs.logits.shape[-1],)
        return torch.cat([F.log_softmax(part * temperature, -1) for part in outputs.logits.split(sizes, -1)], -1)
    if isinstance(outputs, Bernoulli):
        return outputs.logits
    if isinstance(outputs, Point):
        return outputs.action
    return outputs.values if isinstance(outputs, ActionValues) else None


def std(outputs: Outputs) -> float | None:
    """Return the mean standard deviation of a Gaussian policy, None for others."""
    return float(outputs.log_std.detach().exp().mean()) if isinstance(outputs, Gaussian) else None


def entropy_share(outputs: Outputs) -> float | None:
    """Return the mean entropy of a discrete policy as a share of the greatest it can have, None for others."""
    if not isinstance(outputs, Categorical):
        return None
    now, most = outputs.spread()
    return float(now.detach().mean()) / float(most.mean()) if bool(most.any()) else None
