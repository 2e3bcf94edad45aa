"""CUDA graphs, emulated on the CPU.

A capture notes every operation of torch with the tensors it read and wrote, and undoes what they did, so that it has
run nothing. A replay runs them again on the same tensors, and on nothing else: numbers of Python, and tensors that
have been put in the place of others since, are what they were, as on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "_unique2", "lift_fresh")
"""Operations that read numbers on the host, or bring them from there."""


class Waits(RuntimeError):  # noqa: N818 (what the host does)
    """An operation for which the host would wait during a capture."""


def tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def written(func: Any, args: Any, kwargs: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors that an operation writes in place."""
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            yield from tensors(value)


class EmulatedGraph(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self._notes: list[tuple[Any, Any, Any, Any]] = []
        self._before: dict[int, tuple[Any, Any]] = {}
        self._made: set[int] = set()

    def __enter__(self) -> Any:
        self._chance = torch.get_rng_state()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch.set_rng_state(self._chance)
        for storage, saved in self._before.values():
            storage.copy_(saved)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func._schema.name.removeprefix("aten::") in WAITS:
            raise Waits(f"the host waits for {func._schema.name}")
        for tensor in written(func, args, kwargs):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self._made and storage.data_ptr() not in self._before:
                self._before[storage.data_ptr()] = storage, storage.clone()
        out = func(*args, **kwargs)
        known = {t.untyped_storage().data_ptr() for t in tensors((args, kwargs))}
        self._made |= {t.untyped_storage().data_ptr() for t in tensors(out)} - known
        self._notes.append((func, args, kwargs, out))
        return out

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, out in self._notes:
            now = func(*args, **kwargs)
            for old, new in zip(tensors(out), tensors(now), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.detach().copy_(new)


class Emulation:
    """A recorder on the CPU."""

    def __init__(self) -> None:
        self.captures = 0

    def aside(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def renew(self) -> None:
        pass

    def chance(self) -> tuple[Any, Any]:
        return torch.get_rng_state(), torch.set_rng_state

    def graph(self) -> EmulatedGraph:
        self.captures += 1
        return EmulatedGraph()
