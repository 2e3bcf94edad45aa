"""How what a network puts out changes where its observations do: a number for each row, larger where more is changed.

In each, `before` is what it puts out on the observations as they are, `after` what it puts out on others.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from acclimate.nets.outputs import (
    ActionValues,
    Bernoulli,
    Categorical,
    Gaussian,
    Outputs,
    Point,
    as_policy,
    divergence,
)

STD = 0.2
"""Of the normal distribution around a single action, the noise of TD3's target policy."""


def distance(before: Outputs, after: Outputs) -> Tensor:
    """Return how far apart what is done is, (rows,), in nats.

    It is KL(before || after) of two distributions. Single actions, and the mean ones of squashed Gaussians, count as
    Gaussians of standard deviation 0.2: |a - a'|^2 / (2 0.2^2). Squashing hides how far means are that lie at its ends.
    Action values count as softmax(Q).
    """
    if isinstance(before, Point) or (isinstance(before, Gaussian) and before.squashed):
        return action_change(before, after) / (2.0 * STD**2)
    return divergence(*(as_policy(each, temperature=1.0, std=STD) for each in (before, after)))


def action_change(before: Outputs, after: Outputs) -> Tensor:
    """Return the squared length of the change of the likeliest action, in the policy's units, (rows,)."""
    gap = after.choose() - before.choose()  # type: ignore[union-attr]
    return gap.square().flatten(1).sum(-1)


def overtaken(before: Outputs, after: Outputs) -> Tensor:
    """Return by how much the best other option is ahead of the one chosen before, (rows,), over all choices.

    In units of value, or of logits. Below 0 the chosen one still leads. A probability that has come to 1 in 32 bits has
    no gradient, and this has.
    """
    if isinstance(before, Bernoulli) and isinstance(after, Bernoulli):
        return (after.logits * torch.where(before.logits > 0, -1.0, 1.0)).sum(-1)
    scores, sizes = _options(after)
    chosen, _ = _options(before)
    total = scores.new_zeros(len(scores))
    for now, then in zip(scores.split(sizes, -1), chosen.split(sizes, -1), strict=True):
        best = F.one_hot(then.argmax(-1), now.shape[-1]).bool()
        if now.shape[-1] > 1:
            total = total + now.masked_fill(best, -torch.inf).amax(-1) - now.masked_fill(~best, 0.0).sum(-1)
    return total


def _options(outputs: Outputs) -> tuple[Tensor, tuple[int, ...]]:
    if isinstance(outputs, ActionValues):
        return outputs.values, (outputs.values.shape[-1],)
    if isinstance(outputs, Categorical):
        return outputs.logits, outputs.sizes or (outputs.logits.shape[-1],)
    raise TypeError(f"a {type(outputs).__name__} has no options")
