"""A network as stages that follow each other, and how many of the first ones are fixed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, ClassVar

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from acclimate.engine.modules.lookup import Chosen
from acclimate.nets.masks import Masked
from acclimate.nets.modes import statistics_modules

_KNOWN = ("torch", "acclimate", "stable_baselines3")
"""Whose modules tell by their parts whether they are fixed."""


class Stage:
    """Modules that run one after the other."""

    looks_up: ClassVar[bool] = False
    """Whether it takes rows that have not been looked up yet."""

    def __init__(self, *modules: nn.Module) -> None:
        self.modules = modules

    @classmethod
    def run(cls, stages: Sequence[Any], x: Any) -> Any:
        """Return what some stages of this class, which follow each other, make of an input."""
        for stage in stages:
            for module in stage.modules:
                x = module(x)
        return x

    @property
    def fixed(self) -> bool:
        """Whether they put out the same for the same input at any time: nothing is trained, drawn or counted there."""
        return all(_fixed(module) for module in self.modules)


class Stages:
    """Stages of which each reads what the one before it puts out."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = tuple(stages)

    def __len__(self) -> int:
        return len(self._stages)

    def __iter__(self) -> Iterator[Stage]:
        return iter(self._stages)

    def __call__(self, x: Any, begin: int = 0, end: int | None = None) -> Any:
        """Return what the stages from `begin` up to `end` make of what the one before them puts out."""
        for kind, some in groupby(self._stages[begin:end], type):
            if isinstance(x, Chosen) and not kind.looks_up:
                x = x.read()
            x = kind.run(list(some), x)
        return x.read() if isinstance(x, Chosen) and len(self) else x

    @property
    def fixed(self) -> int:
        """How many of the first stages are fixed now."""
        return next((i for i, stage in enumerate(self._stages) if not stage.fixed), len(self._stages))


def touched(module: nn.Module) -> bool:
    """Tell whether something runs with a module's own forward pass, or in its place."""
    return bool(module._forward_hooks or module._forward_pre_hooks) or "forward" in vars(module)


def drawn(module: nn.Module) -> bool:
    """Tell whether what a module puts out depends on chance or on the rows beside, or is counted by it."""
    random = any(isinstance(part, (Masked, _DropoutNd, _NormBase)) for part in module.modules())
    return random or bool(statistics_modules(module))


def _fixed(module: nn.Module) -> bool:
    if any(parameter.requires_grad for parameter in module.parameters()) or drawn(module):
        return False
    return all(type(part).__module__.startswith(_KNOWN) and not touched(part) for part in module.modules())
