"""What the hidden units of a network put out on a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from acclimate.experience import Batch
from acclimate.net import Net
from acclimate.surgery import following_activation, still


def hidden(net: Net, batch: Batch, module: nn.Module | None = None, *, gradients: bool = False) -> dict[str, Tensor]:
    """Return what each hidden layer in view puts out, after its activation where that is known, by its path.

    The network runs in evaluation mode, as it acts: nothing is dropped, and running statistics stay.

    Args:
        net: the layers in its view are read; the layers that its outputs come from are left out.
        batch: as `module` reads it: `net.now(stored)` for stored data and the trained network, the stored data
            itself for the reference.
        module: the network's own by default; or its twin, or its reference.
        gradients: keep the graph; by default nothing can be differentiated.

    Returns:
        (rows, units) of a linear layer, (rows, channels, ...) of a convolution. A layer that the network does not
        run on this batch is not there.
    """
    root = net.module if module is None else module
    seen: dict[str, Tensor] = {}
    latest: dict[nn.Module, str] = {}
    handles = []
    for path in (layer.path for layer in net.layers() if not layer.head):
        layer, activation = root.get_submodule(path), following_activation(root, path)
        handles.append(layer.register_forward_hook(_note(seen, path, latest, activation)))
        if activation is not None and activation not in latest:
            latest[activation] = path
            handles.append(activation.register_forward_hook(_note_latest(seen, latest)))
    try:
        with still(tuple(root.modules())), torch.set_grad_enabled(gradients):
            net.apply(root, batch)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _note(
    seen: dict[str, Tensor], path: str, latest: dict[nn.Module, str], activation: nn.Module | None
) -> Callable[..., None]:
    def note(module: nn.Module, args: Any, output: Tensor) -> None:
        seen[path] = output
        if activation is not None:
            latest[activation] = path

    return note


def _note_latest(seen: dict[str, Tensor], latest: dict[nn.Module, str]) -> Callable[..., None]:
    """Return what notes the output of an activation, which several layers may share, for the one that ran last."""

    def note(module: nn.Module, args: Any, output: Tensor) -> None:
        seen[latest[module]] = output

    return note
