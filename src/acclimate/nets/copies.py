"""Copies of a module's numbers that take no more room than the module itself.

A module can list one tensor under several names: an actor-critic of SB3 lists the features that both networks read
three times. Here it is copied once, and the names share the copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


def copied(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's state as tensors that its training does not touch, on their device."""
    made: dict[int, Tensor] = {}
    state = module.state_dict(keep_vars=True)
    for value in state.values():
        if id(value) not in made:
            made[id(value)] = value.detach().clone()
    return {name: made[id(value)] for name, value in state.items()}


@torch.no_grad()
def swap(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Let a module and a state of its own shapes change places, tensor by tensor."""
    for value, other in _pairs(module, state):
        aside = value.detach().clone()
        value.copy_(other)
        other.copy_(aside)


def _pairs(module: nn.Module, state: Mapping[str, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    seen: set[int] = set()
    for name, value in module.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen.add(id(value))
            yield value, state[name]
