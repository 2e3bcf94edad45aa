"""What the hidden units of a network put out on a batch, and which layers read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from acclimate.nets.experience import Batch
from acclimate.nets.layers import LAYERS, following_activation
from acclimate.nets.modes import still
from acclimate.nets.net import Net


def hidden(
    net: Net, batch: Batch, module: nn.Module | None = None, *, activated: bool = True, gradients: bool = False
) -> dict[str, Tensor]:
    """Return what each hidden layer in view puts out, after its activation where that is known, by its path.

    The network runs in evaluation mode, as it acts: nothing is dropped, and running statistics stay.

    Args:
        net: the layers in its view are read; the layers that its outputs come from are left out.
        batch: as `module` reads it: `net.now(stored)` for stored data and the trained network, the stored data
            itself for the reference.
        module: the network's own by default; or its twin, or its reference.
        activated: whether to read after the activation, or what goes into it.
        gradients: keep the graph; by default nothing can be differentiated.

    Returns:
        (rows, units) of a linear layer, (rows, channels, ...) of a convolution. A layer that the network does not
        run on this batch is not there.
    """
    root = net.module if module is None else module
    seen: dict[str, Tensor] = {}
    latest: dict[nn.Module, str] = {}
    with _hooked() as handles, still(tuple(root.modules())), torch.set_grad_enabled(gradients):
        for path in _hidden_paths(net):
            layer = root.get_submodule(path)
            activation = following_activation(root, path) if activated else None
            handles.append(layer.register_forward_hook(_note(seen, path, latest, activation)))
            if activation is not None and activation not in latest:
                latest[activation] = path
                handles.append(activation.register_forward_hook(_note_latest(seen, latest)))
        net.apply(root, batch)
    return seen


def readers(net: Net, batch: Batch) -> dict[str, dict[str, Tensor]]:
    """Return which layers read the units of each hidden layer in view, and where.

    The network runs twice with numbers in the place of its units, and who reads them is seen at the inputs of its
    layers. What changes units on the way, a normalisation or an adapter, hides who reads them, and so does an
    activation that layers share.

    Returns:
        By the path of the hidden layer, and the path of the layer that reads it: for each input of the latter (for
        each input channel of a convolution) the number of the unit that it is, -1 where it is something else.
    """
    activations = {path: following_activation(net.module, path) for path in _hidden_paths(net)}
    shared = [layer.activation for layer in net.whole().layers()]
    paths = [path for path, outlet in activations.items() if outlet is not None and shared.count(outlet) == 1]
    widths = [net.module.get_submodule(path)._parameters["weight"].shape[0] for path in paths]
    total = sum(widths)
    # Exact in float32; and since the two runs share no number, what is the same in both is no unit.
    tags = [1000.0 + 0.5 * torch.arange(total), 1000.25 + 0.5 * torch.arange(total).flip(0)]
    inputs = [_inputs(net, batch, dict(zip(paths, tag.split(widths), strict=True))) for tag in tags]
    found: dict[str, dict[str, Tensor]] = {path: {} for path in paths}
    for reader, first in inputs[0].items() if paths else ():
        unit = ((first - 1000.0) * 2.0).nan_to_num(-1.0).clamp(0, total - 1).long()
        read = (tags[0].double()[unit] == first) & (tags[1].double()[unit] == inputs[1][reader])
        begin = 0
        for path, width in zip(paths, widths, strict=True):
            own = torch.where(read & (unit >= begin) & (unit < begin + width), unit - begin, -1)
            if bool((own >= 0).any()):
                found[path][reader] = own
            begin += width
    return found


def _inputs(net: Net, batch: Batch, tags: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what the first row of each layer's input is, one number a channel, where units are their tags."""
    seen: dict[str, Tensor] = {}
    layers = {path: module for path, module in net.module.named_modules() if isinstance(module, LAYERS)}
    with _hooked() as handles, still(tuple(net.module.modules())), torch.no_grad():
        for path, tag in tags.items():
            outlet = following_activation(net.module, path) or layers[path]
            handles.append(outlet.register_forward_hook(_put(tag)))
        for path, layer in layers.items():
            handles.append(layer.register_forward_pre_hook(_note_input(seen, path)))
        net.apply(net.module, batch)
    return seen


def _put(tag: Tensor) -> Callable[..., Tensor]:
    def put(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        return tag.to(output).view(1, -1, *(1,) * (output.dim() - 2)).expand_as(output).contiguous()

    return put


def _note_input(seen: dict[str, Tensor], path: str) -> Callable[..., None]:
    def note(module: nn.Module, args: Any) -> None:
        first = args[0][0].detach().cpu().double()
        seen[path] = first if isinstance(module, nn.Linear) else first.flatten(1)[:, 0]

    return note


def _hidden_paths(net: Net) -> list[str]:
    return [layer.path for layer in net.layers() if not layer.head]


@contextmanager
def _hooked() -> Iterator[list[RemovableHandle]]:
    """Give a list, and remove the hooks whose handles it then holds."""
    handles: list[RemovableHandle] = []
    try:
        yield handles
    finally:
        for handle in handles:
            handle.remove()


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
