"""Which modules of a network are layers, where they stand, and what follows them."""

from __future__ import annotations

import torch
from torch import nn

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""The layers with one output channel for each row of their weight."""
RECURRENT = (nn.RNNBase,)
"""Those that remember: LSTMs and their like."""


def layer_paths(root: nn.Module, kinds: tuple[type[nn.Module], ...] = LAYERS) -> list[str]:
    """List the paths of the linear and convolutional layers, those left out that methods put into a layer."""
    found: list[str] = []
    for path, module in root.named_modules():
        if isinstance(module, kinds) and not any(path.startswith(f"{outer}." if outer else "") for outer in found):
            found.append(path)
    return found


def following_activation(root: nn.Module, path: str) -> nn.Module | None:
    """Return the activation that stands directly after a layer in a sequence, None where there is none."""
    parent_path, _, name = path.rpartition(".")
    parent = root.get_submodule(parent_path)
    if not isinstance(parent, nn.Sequential):
        return None
    names = list(parent._modules)
    place = names.index(name) + 1
    after = parent._modules[names[place]] if place < len(names) else None
    is_activation = type(after).__module__ == torch.nn.modules.activation.__name__
    return after if is_activation else None
