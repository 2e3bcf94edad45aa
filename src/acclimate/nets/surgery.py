"""Changes inside a network that leave its modules, its parameters and their identity where they are.

Nothing is replaced: a layer's tensor is computed from the stored one (`reparameterise`), or a module is run
on what another puts out (`insert`). So whoever holds a module or a parameter, an optimizer or a shared
policy, still holds the right one, and undoing leaves a stock network.
"""

from __future__ import annotations

import itertools
from functools import cache
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.utils.hooks import RemovableHandle

from acclimate.errors import SurgeryError

_INSERTED = "inserted_"
_COMPUTES = "computes_"
_COMPUTER = "computer"


class Computing(nn.Module):
    """What a layer becomes when its tensors are computed from the stored ones.

    The parameters stay where they are, under their names and as the same objects; only reading `weight` or `bias`,
    as the layer's own `forward` does, gives the computed tensor.
    """

    stock: type[nn.Module]

    @property
    def weight(self) -> Tensor:
        """The weight as computed."""
        return self._computed("weight")

    @property
    def bias(self) -> Tensor:
        """The bias as computed, None if the layer has none."""
        return self._computed("bias")

    def _computed(self, tensor: str) -> Tensor:
        value = self._parameters[tensor]
        for module in computers(self, tensor):
            value = module.forward(value)
        return value  # type: ignore[return-value]


@cache
def _computing(stock: type[nn.Module]) -> type[Computing]:
    return type(stock.__name__, (Computing, stock), {"stock": stock})


def reparameterise(layer: nn.Module, tensor: str, by: nn.Module) -> None:
    """Compute `layer.weight` or `layer.bias` from the stored parameter by a module from now on.

    Several may follow each other; each takes what the one before it returned. The module becomes part of the layer.
    """
    if not isinstance(layer, Computing):
        layer.__class__ = _computing(type(layer))
    name = f"{_COMPUTES}{tensor}"
    if name not in layer._modules:
        layer.add_module(name, nn.ModuleList())
    layer.get_submodule(name).append(by.train(layer.training))  # type: ignore[operator]


def computers(layer: nn.Module, tensor: str) -> tuple[nn.Module, ...]:
    """Return the modules that compute `layer.weight` or `layer.bias`, in their order; none where it is stored."""
    return tuple(layer._modules.get(f"{_COMPUTES}{tensor}", ()))  # type: ignore[arg-type]


def stop_computing(layer: nn.Module, kind: type[nn.Module]) -> None:
    """Take the modules of one class out of what computes a layer's tensors; without any it does nothing."""
    if not isinstance(layer, Computing):
        return
    for name in [name for name in layer._modules if name.startswith(_COMPUTES)]:
        # Numbered as if the others had come alone.
        left = [module for module in layer.get_submodule(name) if not isinstance(module, kind)]  # type: ignore[union-attr]
        layer._modules.pop(name)
        if left:
            layer.add_module(name, nn.ModuleList(left))
    if not any(name.startswith(_COMPUTES) for name in layer._modules):
        layer.__class__ = layer.stock


def stored(layer: nn.Module) -> dict[str, Parameter]:
    """Return the stored `weight` of a layer, and its `bias` if it has one, whether or not others are computed."""
    return {name: own for name in ("weight", "bias") if (own := layer._parameters[name]) is not None}


@torch.no_grad()
def bake(layer: nn.Module) -> None:
    """Store the tensors as they are computed in evaluation mode, and stop computing them.

    All modules that were put on the layer go at once, since the result of the last contains that of the others; on a
    layer without any it does nothing.
    """
    if not isinstance(layer, Computing):
        return
    for name, modules in layer.named_children():
        if name.startswith(_COMPUTES):
            modules.eval()
    for tensor in ("weight", "bias"):
        stored = layer._parameters[tensor]
        if stored is not None:
            stored.copy_(getattr(layer, tensor))
        layer._modules.pop(f"{_COMPUTES}{tensor}", None)
    layer.__class__ = layer.stock


def insert(host: nn.Module, extra: nn.Module, *, before: bool = False) -> None:
    """Run `extra` on what `host` puts out from now on, as part of `host`.

    Args:
        host: it keeps its place, its class and its parameters.
        extra: of one tensor, returns one.
        before: run it on what `host` takes instead.

    Raises:
        SurgeryError: if `host` is a sequence, whose members would change.
    """
    if isinstance(host, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
        raise SurgeryError(f"a {type(host).__name__} cannot host a module; choose one of its members")
    name = f"{_INSERTED}{sum(key.startswith(_INSERTED) for key in host._modules)}"
    # A target network is put into evaluation mode once and for all, so what joins it takes its mode over.
    host.add_module(name, extra.train(host.training))
    hook = host.register_forward_pre_hook if before else host.register_forward_hook
    # A method bound to the module: in a deep copy of the host it is bound to the copy.
    extra._insertion = hook(MethodType(_run, extra))  # type: ignore[assignment]


def _run(extra: nn.Module, host: nn.Module, args: tuple[Any, ...], output: Tensor | None = None) -> Tensor:
    del host
    return extra(args[0] if output is None else output)


def additions(host: nn.Module) -> tuple[nn.Module, ...]:
    """Return the modules that methods added to a layer, those that compute its tensors left out."""
    return tuple(module for name, module in host.named_children() if not name.startswith(_COMPUTES))


def extract(host: nn.Module, kind: type[nn.Module]) -> None:
    """Take out the module of this class that was inserted last; without one it does nothing."""
    for name in reversed([key for key in host._modules if key.startswith(_INSERTED)]):
        extra = host.get_submodule(name)
        if isinstance(extra, kind):
            handle = extra._insertion
            if isinstance(handle, RemovableHandle):
                handle.remove()
            delattr(host, name)
            _number(host)
            return


def _number(host: nn.Module) -> None:
    """Name what is inserted as if nothing else had been: weights are stored under these names."""
    modules = list(host._modules.items())
    places = itertools.count()
    host._modules.clear()
    for name, module in modules:
        host._modules[f"{_INSERTED}{next(places)}" if name.startswith(_INSERTED) else name] = module


def take_over(host: nn.Module, extra: nn.Module) -> None:
    """Let `extra(input, weight, bias)` compute what a layer puts out from now on, as part of the layer.

    Raises:
        SurgeryError: if another module does so already.
    """
    if _COMPUTER in host._modules:
        raise SurgeryError("another module computes this layer already; give it one")
    host.add_module(_COMPUTER, extra.train(host.training))
    # A method bound to the layer: a deep copy of the layer gets one that is bound to the copy.
    host.forward = MethodType(_computed_by, host)


def hand_back(host: nn.Module) -> nn.Module | None:
    """Let a layer compute what it puts out by itself again; return what did it, None if nothing did."""
    host.__dict__.pop("forward", None)
    return host._modules.pop(_COMPUTER, None)


def _computed_by(host: nn.Module, inputs: Tensor) -> Tensor:
    return host.get_submodule(_COMPUTER)(inputs, host.weight, host.bias)
