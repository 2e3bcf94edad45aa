"""What attacks seek: numbers of what a policy does on moved observations, larger where it does worse."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from acclimate.errors import ConfigError
from acclimate.nets.experience import Batch
from acclimate.nets.near.reactions import action_change, distance, overtaken
from acclimate.nets.net import Net
from acclimate.nets.outputs import ActionValues, Drawn, Gaussian, Outputs, Point

Harm = Callable[[Outputs], Tensor]
"""From what the policy puts out on moved observations to a number for each row, (rows,)."""


def another_action(net: Net, seen: Batch, before: Outputs) -> Harm:
    """Move the action: a continuous one as far as can be, and of choices others ahead of the one that is taken."""
    if isinstance(before, Drawn):
        return lambda after: distance(before, after)
    if isinstance(before, Gaussian | Point):
        return lambda after: action_change(before, after)
    return lambda after: overtaken(before, after)


def another_policy(net: Net, seen: Batch, before: Outputs) -> Harm:
    """Move the whole distribution: maximal action difference (Zhang et al. 2020, arXiv:2003.08938)."""
    return lambda after: distance(before, after)


def least_value(net: Net, seen: Batch, before: Outputs) -> Harm:
    """Lead to the action that the agent's own critic rates least where it really is; of choices, the mean by softmax.

    Raises:
        ConfigError: Its critic rates no actions.
    """
    if isinstance(before, ActionValues):
        return lambda after: -(after.values.softmax(-1) * before.values).sum(-1)  # type: ignore[union-attr]
    rates = net.rates
    if rates is None:
        raise ConfigError(
            "the attack `critic` asks what each action is worth, and this agent's critic only rates states; take `pgd` "
            "and `mad`"
        )

    def harm(after: Outputs) -> Tensor:
        return -rates(Batch(seen.observations, after.choose())).mean(-1)  # type: ignore[union-attr]

    return harm


HARMS: Mapping[str, Callable[[Net, Batch, Outputs], Harm]] = {
    "action": another_action,
    "policy": another_policy,
    "value": least_value,
}
