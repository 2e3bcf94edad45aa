"""Methods that stay in the networks of an agent, because it cannot end as a stock one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from stable_baselines3.common.base_class import BaseAlgorithm
from torch.optim import Optimizer

from acclimate.sb3.networks import find
from acclimate.tuning.composition import Composition
from acclimate.tuning.context import Context
from acclimate.tuning.groups import added
from acclimate.tuning.method import Method, Signals, chain, stays


def graft(model: BaseAlgorithm, methods: Sequence[Method]) -> None:
    """Inject methods into a stock model that is to take the weights of a tuned one; its optimizers train them too.

    Raises:
        SurgeryError: One wants more than the networks' structure, or does not fit them.
    """
    if not methods:
        return
    nets = [dataclasses.replace(net, pretrained=tuple(net.parameters())) for net in find(model)]
    Composition(chain(*methods), nets, Context(), Signals()).inject()
    policy = model.policy
    for owner in (policy, getattr(policy, "actor", None), getattr(policy, "critic", None)):
        optimizer = getattr(owner, "optimizer", None)
        if isinstance(optimizer, Optimizer):
            group = optimizer.param_groups[0]["params"]
            held = {id(parameter) for parameter in group}
            homes = [net for net in nets if any(id(p) in held for p in net.pretrained)]
            group.extend(added(group, homes))


def kept(method: Method) -> tuple[Method, ...]:
    """Return the parts of a method that leave something in the networks they were kept in."""
    return tuple(part for part in method.parts() if stays(part))
