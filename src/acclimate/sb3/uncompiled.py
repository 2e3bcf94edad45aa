"""Optimizers that leave torch's compiler out until somebody uses it.

When one of an optimizer's functions is called for the first time, torch marks it as not to be compiled, and imports its
compiler to do so. That takes longer than all else in loading an agent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.optim import Optimizer

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
