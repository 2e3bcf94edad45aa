"""What goes round the building of a model: torch's compiler stays out of it, and its memory has a bound.

When one of an optimizer's functions is called for the first time, torch marks it as not to be compiled, and imports its
compiler to do so. That takes longer than all else in loading an agent.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from acclimate.errors import UnsafeFileError

_MARKED = "__dynamo_disable"
"""Where torch (2.13, `torch/_compile.py`) looks for the marked function before it makes one. If another version looks
elsewhere, the compiler is imported as before."""


@cache
def leave_compiler_out() -> None:
    """Let the functions of optimizers run as they are, as long as nothing else has imported the compiler."""
    for outer in vars(Optimizer).values():
        plain = getattr(outer, "__wrapped__", None)
        made_in = getattr(getattr(outer, "__code__", None), "co_filename", "")
        if callable(plain) and made_in == torch._compile.__file__ and not hasattr(plain, _MARKED):
            setattr(plain, _MARKED, _late(plain))


def _late(plain: Callable[..., Any]) -> Callable[..., Any]:
    """Return what runs a function as it is while nothing can be compiled, and as torch marks it from then on."""

    def run(*args: Any, **kwargs: Any) -> Any:
        if "torch._dynamo" not in sys.modules:
            return plain(*args, **kwargs)
        marked = torch._dynamo.disable(plain, wrapping=False)
        setattr(plain, _MARKED, marked)
        return marked(*args, **kwargs)

    return run


class Bound(TorchFunctionMode):
    """Refuses to set aside more memory for a network than its weights need.

    A file can describe layers of any size; the weights that it really brings say how large the network is.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], where: str) -> None:
        """Allow about twice the elements of these weights; `where` names the file in an error."""
        self.where = where
        self.elements = 2 * sum(tensor.numel() for tensor in weights.values()) + 2**20
        self.tensors = 8 * len(weights) + 64
        super().__init__()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count what a tensor would take before it is made."""
        kwargs = kwargs or {}
        if func in _MAKERS:
            self.elements -= _asked(args[1:] if func in _OF_ANOTHER else args, kwargs)
            self.tensors -= 1
            if self.elements < 0 or self.tensors < 0:
                raise UnsafeFileError(f"{self.where}: describes a network far larger than its weights; refused.")
        return func(*args, **kwargs)


_OF_ANOTHER = frozenset([torch.Tensor.new_empty, torch.Tensor.new_zeros, torch.Tensor.new_ones])
_MAKERS = _OF_ANOTHER | {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn}
"""What networks are made of, all with a size in front; another way to a tensor has its numbers already."""


def _asked(args: Any, kwargs: Mapping[str, Any]) -> int:
    """Return how many elements a size, one argument or several, stands for."""
    size = kwargs.get("size", args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args)
    return math.prod(int(n) for n in size if isinstance(n, int)) if isinstance(size, (tuple, list)) else int(size)
