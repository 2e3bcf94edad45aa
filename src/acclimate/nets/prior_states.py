"""States that are kept for the whole run, with what the pretrained policy does there.

A state of a method is made of tensors and plain data, so these are functions on a dict and no class.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from acclimate.errors import SurgeryError
from acclimate.nets.experience import READ, Batch
from acclimate.nets.net import Net
from acclimate.nets.outputs import Drawn, Gaussian, Policy, as_policy
from acclimate.nets.seeding import generator

Kept = dict[str, Any]
"""What the pretrained network reads (`Batch.read`), `policy`: its distributions there by field, and `seed`."""

_ROWS = 256
_STRETCH = 16
"""Steps that follow one another in a draw for recurrent networks, which have to remember by themselves."""


@torch.no_grad()
def keep(net: Net, steps: Batch, *, temperature: float, std: float, seed: int) -> Kept:
    """Return states with the pretrained policy's whole distributions in them.

    Args:
        net: whose frozen copy is asked.
        steps: of `Context.source` or `Context.target`.
        temperature: of the softmax over action values.
        std: of the normal distribution around a single action.
        seed: of the draws.

    Raises:
        SurgeryError: if the network puts out no policy.
    """
    parts = []
    for start in range(0, len(steps), _ROWS):
        outputs = net.apply(net.reference, steps.rows(slice(start, start + _ROWS)))  # type: ignore[arg-type]
        parts.append(_fields(as_policy(outputs, temperature=temperature, std=std)))
    policy = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return {**steps.read(), "policy": policy, "seed": seed}


def draw(net: Net, kept: Kept, rows: int, *, update: int, temperature: float, std: float) -> tuple[Policy, Policy]:
    """Return the policy as it is now and the pretrained one on kept states, drawn anew for each update.

    Args:
        net: the network now.
        kept: what `keep` returned.
        rows: how many states, with replacement; for recurrent networks in stretches that follow one another.
        update: the number of the update: a resumed run draws what it would have drawn.
        temperature: as in `keep`.
        std: as in `keep`.
    """
    states = Batch(**{name: kept[name] for name in READ if name in kept})
    length = 1 if states.memory is None else min(_STRETCH, rows, len(states))
    starts = (len(states) - length + 1, (-(-rows // length),))
    first = torch.randint(*starts, generator=generator(kept["seed"], net.role, update))
    index = (first[:, None] + torch.arange(length)).flatten()[:rows]
    outputs = net.apply(net.module, net.now(states.rows(index)))
    now = as_policy(outputs, temperature=temperature, std=std)
    prior = dataclasses.replace(now, **{name: value[index] for name, value in kept["policy"].items()})
    return now, prior


def _fields(policy: Policy) -> dict[str, Tensor]:
    if isinstance(policy, Drawn):
        raise SurgeryError(
            f"a {type(policy.distribution).__name__} cannot be kept with states; choose methods that keep none"
        )
    if isinstance(policy, Gaussian):
        # A log std that does not depend on the state has no row for each of them.
        return {"mean": policy.mean, "log_std": policy.log_std.expand_as(policy.mean)}
    return {"logits": policy.logits}
