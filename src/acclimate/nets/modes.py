"""Hold a network still while it is asked: its mode, and the statistics that it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn import Parameter

_HOLDS = "holds_statistics"


def statistics_modules(module: nn.Module) -> tuple[nn.Module, ...]:
    """Return the modules that keep running statistics: those with buffers of floating numbers."""
    return tuple(
        part for part in module.modules() if any(buffer.is_floating_point() for buffer in part.buffers(recurse=False))
    )


def hold_statistics(module: nn.Module) -> None:
    """Keep a module's running statistics as they are until `release_statistics` was called as often."""
    handles = vars(module).setdefault(_HOLDS, [])
    handles.append(module.register_forward_pre_hook(_evaluate))


def release_statistics(module: nn.Module) -> None:
    """Undo the last `hold_statistics`; without one it does nothing."""
    handles = vars(module).get(_HOLDS, [])
    if handles:
        handles.pop().remove()
    if not handles:
        vars(module).pop(_HOLDS, None)


def _evaluate(module: nn.Module, args: Any) -> None:
    module.training = False


@contextmanager
def still(modules: tuple[nn.Module, ...]) -> Iterator[None]:
    """Keep running statistics as they are during a forward pass that is none of the training's own."""
    moving = [module for module in modules if module.training]
    for module in moving:
        module.training = False
    try:
        yield
    finally:
        for module in moving:
            module.training = True


@contextmanager
def trainable(parameters: list[Parameter]) -> Iterator[None]:
    """Let frozen parameters have gradients for a while."""
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
