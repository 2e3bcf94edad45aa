"""Copies of a module's numbers that take no more room than the module itself.

A module can list one tensor under several names: an actor-critic of SB3 lists the features that both networks read
three times. Here it is copied once, and the names share the copy.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


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


def frozen_copy(module: nn.Module) -> nn.Module:
    """Return a copy that is never trained: in evaluation mode, without gradients and without its optimizers.

    `copy.deepcopy` alone fails after a forward pass with gradients if a module keeps what it computed, as the
    action distributions of Stable-Baselines3 do; such tensors are copied without their graph.
    """
    memo: dict[int, Any] = {}
    for thing in _reachable(module):
        if isinstance(thing, Optimizer):
            memo[id(thing)] = None
        elif isinstance(thing, Tensor) and not thing.is_leaf:
            memo[id(thing)] = thing.detach().clone()
    twin = copy.deepcopy(module, memo)
    return twin.eval().requires_grad_(False)


def _reachable(root: nn.Module) -> Iterator[Any]:
    """Yield what deepcopy would meet from `root` on, as far as containers and attributes go."""
    seen: set[int] = set()
    waiting: list[Any] = [root]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, (str, bytes, type, ModuleType)):
            continue
        seen.add(id(thing))
        yield thing
        if isinstance(thing, (Tensor, Optimizer)):
            continue
        if isinstance(thing, dict):
            waiting.extend(thing.values())
        elif isinstance(thing, (list, tuple, set)):
            waiting.extend(thing)
        elif hasattr(thing, "__dict__"):
            waiting.extend(vars(thing).values())
