"""What a captured update takes from a policy's modules as it is at the time of the capture."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import torch
from torch import nn

from acclimate.nets.masks import Masked


def baked(root: nn.Module) -> Hashable:
    """Return where the tensors of modules are, and which numbers and hooks these have."""
    return tuple(item for module in root.modules() for item in _of(module))


def _of(module: nn.Module) -> Iterator[Hashable]:
    yield id(module)
    for tensors in (module._parameters, module._buffers):
        for tensor in tensors.values():
            yield None if tensor is None else (tensor.data_ptr(), tensor.requires_grad)
    # Their names: the same hooks are put in place anew from rollout to rollout.
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    yield tuple(getattr(hook, "__qualname__", type(hook).__qualname__) for hook in hooks)
    for name, value in vars(module).items():
        # The seed of a mask counts rollouts: a mask that stays through one follows from it, fresh ones do not.
        if not (isinstance(module, Masked) and module.acting is None and name == "_seed"):
            yield from _told(name, value)


def _told(name: str, value: Any) -> Iterator[Hashable]:
    if isinstance(value, torch.Tensor):
        yield name, value.data_ptr()
    elif isinstance(value, (bool, int, float, str)) or value is None:
        yield name, value
