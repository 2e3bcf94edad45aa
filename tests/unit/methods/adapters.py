"""What the tests of adapters share: layers, inputs, and PEFT's own layer with the same numbers in it."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import nn

LAYERS = {
    "linear": (lambda: nn.Linear(6, 5), (7, 6)),
    "no-bias": (lambda: nn.Linear(6, 5, bias=False), (7, 6)),
    "conv2d": (lambda: nn.Conv2d(3, 5, 3, stride=2, padding=1), (7, 3, 8, 8)),
}


def made(kind: str) -> tuple[nn.Module, torch.Tensor]:
    """Return a layer and inputs for it."""
    torch.manual_seed(0)
    build, shape = LAYERS[kind]
    return build(), torch.randn(shape)


def around(layer: nn.Module, config: Any) -> Any:
    """Return PEFT's own layer around a copy of a layer, made by PEFT's own injection."""
    from peft import inject_adapter_in_model

    holder = nn.ModuleDict({"layer": copy.deepcopy(layer)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return inject_adapter_in_model(config, holder)["layer"]


def parameter(layer: nn.Module, name: str) -> nn.Parameter:
    """Return the one parameter of a layer whose path ends in a name."""
    (found,) = [p for path, p in layer.named_parameters() if path.endswith(f".{name}")]
    return found


def fill(*tensors: torch.Tensor) -> None:
    """Put random numbers in."""
    for tensor in tensors:
        tensor.data.copy_(torch.randn_like(tensor))
