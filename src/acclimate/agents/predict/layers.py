"""Layers that follow each other, run without what torch's modules do around each of them.

Several rows go through torch's own products without autograd, which gives the numbers that the modules would put out,
bit for bit. One row alone goes through numpy, in a third of the time, and differs from them by rounding. Both read
views that share the parameters' memory, so whatever changes a parameter in place is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[Any]


def _no_less_than_zero(x: Array) -> None:
    np.maximum(x, 0.0, out=x)


def _tanh(x: Array) -> None:
    np.tanh(x, out=x)


def _leave(x: Any) -> Any:
    return x


_OF_ROWS: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {
    nn.Tanh: torch.tanh_,
    nn.ReLU: torch.relu_,
    nn.Identity: _leave,
}
_OF_ONE: dict[type[nn.Module], Callable[[Array], Any]] = {
    nn.Tanh: _tanh,
    nn.ReLU: _no_less_than_zero,
    nn.Identity: _leave,
}
_NOT_ALONE = (nn.RReLU, nn.PReLU, nn.MultiheadAttention)
"""Activations with weights or chance of their own."""


def _known(module: nn.Module) -> bool:
    kind = type(module)
    if kind.__module__ == nn.modules.activation.__name__:
        return kind not in _NOT_ALONE
    return kind in (nn.Linear, nn.Identity, nn.Sequential)


class Layers:
    """Linear layers and activations, those in sequences one by one."""

    def __init__(self, modules: Sequence[nn.Module], around: Sequence[nn.Module], frame: Sequence[nn.Module]) -> None:
        """Take modules apart that `of` found known."""
        inside = [part for module in modules for part in module.modules()]
        sequences = [part for part in inside if isinstance(part, nn.Sequential)]
        self._called = [
            (part, type(part), part.__dict__, part._forward_hooks, part._forward_pre_hooks)
            for part in (*inside, *around)
        ]
        self._members = [(part._modules, tuple(part._modules.values())) for part in (*sequences, *around, *frame)]
        self._alone = [part._modules for part in inside if part not in sequences]
        self._leaves = [leaf for module in modules for leaf in _leaves(module)]
        self._look()

    @classmethod
    def of(
        cls, modules: Sequence[nn.Module], *, around: Sequence[nn.Module] = (), frame: Sequence[nn.Module] = ()
    ) -> Layers | None:
        """Return modules as layers, None where there is something else in them.

        Args:
            modules: what is run, in its order.
            around: what SB3 calls on the way, so that a hook on it matters.
            frame: whose members must stay the ones they are.
        """
        known = all(_known(part) for module in modules for part in module.modules())
        return cls(modules, around, frame) if known else None

    def _look(self) -> None:
        """Make the views anew."""
        self._seen: list[tuple[dict[str, Any], str, Tensor, int]] = []
        self._rows: list[tuple[Tensor | None, Tensor | None, Callable[[Tensor], Tensor]]] = []
        self._one: list[tuple[Array | None, Array | None, Callable[[Array], Any]]] = []
        self.one_row = all(type(leaf) is nn.Linear or type(leaf) in _OF_ONE for leaf in self._leaves)
        """Whether numpy has all of it."""
        for leaf in self._leaves:
            if type(leaf) is nn.Linear:
                for name, parameter in leaf.named_parameters(recurse=False):
                    self._seen.append((leaf._parameters, name, parameter, parameter.data_ptr()))
        self.here = all(p.is_cpu and p.dtype == torch.float32 for _, _, p, _ in self._seen)
        """Whether it is on the CPU, in single precision."""
        for leaf in self._leaves if self.here else ():
            self._link(leaf)

    def _link(self, leaf: nn.Module) -> None:
        if isinstance(leaf, nn.Linear):
            weight, bias = leaf.weight.detach().t(), None if leaf.bias is None else leaf.bias.detach()
            self._rows.append((weight, bias, _leave))
            self._one.append((weight.numpy(), None if bias is None else bias.numpy(), _leave))
            return
        rows = _OF_ROWS.get(type(leaf))
        if self._rows and self._rows[-1][0] is not None and self._rows[-1][2] is _leave and rows is not None:
            # What a product put out is nobody else's, so that the activation may write over it.
            self._rows[-1] = (*self._rows[-1][:2], rows)
            self._one[-1] = (*self._one[-1][:2], _OF_ONE[type(leaf)])
            return
        self._rows.append((None, None, leaf.forward))
        self._one.append((None, None, _leave))
        self.one_row = False

    def ready(self) -> bool:
        """Whether it can be run: nobody put anything into the modules, onto them or in their place."""
        for part, kind, own, hooks, early in self._called:
            if type(part) is not kind or hooks or early or "forward" in own:
                return False
        for inside, members in self._members:
            if tuple(inside.values()) != members:
                return False
        for inside in self._alone:
            if inside:
                return False
        for parameters, name, parameter, place in self._seen:
            if parameters[name] is not parameter or parameter.data_ptr() != place:
                self._look()
                break
        return self.here

    def rows(self, x: Tensor) -> Tensor:
        """Return the outputs, (rows, out), of inputs (rows, in), after `ready` has agreed."""
        for weight, bias, follow in self._rows:
            if weight is not None:
                x = torch.mm(x, weight) if bias is None else torch.addmm(bias, x, weight)
            x = follow(x)
        return x

    def one(self, x: Array) -> Array:
        """Return the outputs, (out,), of one row of inputs, (in,), after `ready` has agreed, where `one_row` holds."""
        for weight, bias, follow in self._one:
            x = x.dot(weight)
            if bias is not None:
                x += bias
            follow(x)
        return x


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential):
        for member in module:
            yield from _leaves(member)
    else:
        yield module
