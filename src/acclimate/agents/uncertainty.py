"""How sure a network is of what it puts out, by what changes if some of its units are missing.

Source: Gal and Ghahramani 2016, "Dropout as a Bayesian Approximation" (arXiv:1506.02142), where the network was trained
with that dropout. One that was not tells how much its outputs hang on single units; which deviation is too much has to
be found on observations that it knows.

Example:
    >>> import torch
    >>> from acclimate.nets.net import Net
    >>> from acclimate.nets.outputs import ActionValues
    >>> q = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> net = Net("q", q, lambda module, batch: ActionValues(module(batch.observations)))
    >>> mc_dropout(net, torch.zeros(3, 4), passes=5).std.shape
    torch.Size([3, 2])
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError, SurgeryError
from acclimate.nets.experience import Batch
from acclimate.nets.masks import Dropping, outlets
from acclimate.nets.modes import still
from acclimate.nets.net import Acting, Net
from acclimate.nets.outputs import Drawn, Outputs
from acclimate.nets.seeding import seed_of
from acclimate.nets.surgery import extract, insert


@dataclasses.dataclass(frozen=True)
class Spread:
    """What a network puts out under masks, (rows, outputs) each."""

    mean: Tensor
    std: Tensor


@torch.no_grad()
def mc_dropout(
    subject: Agent | Net,
    observations: Any,
    *,
    actions: Tensor | None = None,
    role: str | None = None,
    p: float = 0.1,
    passes: int = 30,
    seed: int = 0,
) -> Spread:
    """Return mean and standard deviation of what a network puts out while a part of its hidden units is dropped.

    Each pass drops the same units for all rows, drawn from the seed: the answer for a row does not depend on the
    others, and repeats. What is read is the mean of a Gaussian before squashing, logits, an action (of
    another distribution the likeliest) or values. The
    network must not be used by anybody else meanwhile.

    Args:
        subject: an agent, or a network of one.
        observations: raw ones of an agent, a batch; as it reads them for a network.
        actions: what a critic of states and actions reads, in the policy's own units.
        role: which network of an agent; by default the one that decides.
        p: probability that a unit is dropped. Higher: larger deviations.
        passes: how many masks. More: the deviation is more exact (to 1 / sqrt(2 passes) of itself), in more time.
        seed: of the masks.

    Raises:
        ConfigError: if p or passes cannot be.
        SurgeryError: if the network has no hidden layer, or an agent no such network.
    """
    if not 0.0 < p < 1.0:
        raise ConfigError(f"p is {p}; give a probability between 0 and 1, 0.1 for example")
    if passes < 2:
        raise ConfigError(f"passes is {passes}; a deviation needs 2 at least, 30 for example")
    net, inputs = (subject, observations) if isinstance(subject, Net) else _network(subject, observations, role)
    with _masked(net, p) as (whole, masks):
        outputs = torch.stack([_drawn(whole, Batch(inputs, actions), masks, seed, number) for number in range(passes)])
    return Spread(outputs.mean(0), outputs.std(0))


@contextmanager
def _masked(net: Net, p: float) -> Iterator[tuple[Net, list[Dropping]]]:
    """Put a mask on all hidden units on the way to the outputs, and take them away again."""
    # What the module runs before this network's own layers counts too, a trunk; that itself has no heads.
    scope = net.scope if net.heads == ("",) else ("",)
    whole = dataclasses.replace(net, twin=None, scope=scope).whole()
    places = outlets(whole)
    if not places:
        raise SurgeryError(f"`{net.role}` has no hidden layer whose units could be dropped; choose another network")
    masks = [Dropping(p, Acting()) for _ in places]
    with still(tuple(net.module.modules())):
        for place, mask in zip(places, masks, strict=True):
            insert(place, mask)
        try:
            yield whole, masks
        finally:
            for place in places:
                extract(place, Dropping)


def _drawn(net: Net, batch: Batch, masks: list[Dropping], seed: int, number: int) -> Tensor:
    """Return what the network puts out under the masks with this number."""
    for place, mask in enumerate(masks):
        mask.train()
        mask.draw(seed_of(seed, net.role, number, place))
    return _reading(net.apply(net.module, batch))


def _reading(outputs: Outputs) -> Tensor:
    if isinstance(outputs, Drawn):
        return outputs.choose()
    return next(value for value in vars(outputs).values() if isinstance(value, Tensor))


def _network(agent: Agent, observations: Any, role: str | None) -> tuple[Net, Any]:
    """Return a network of an agent, and raw observations as it reads them."""
    from acclimate.sb3.networks import find

    nets = [net for net in find(agent.model) if (net.decides if role is None else net.role == role)]
    if not nets:
        there = ", ".join(net.role for net in find(agent.model))
        raise SurgeryError(f"there is no network `{role}` in the agent; there are {there}")
    scaled = observations if agent.normalizer is None else agent.normalizer.normalize_obs(observations)
    inputs, _ = agent.model.policy.obs_to_tensor(scaled)
    return nets[0], inputs
