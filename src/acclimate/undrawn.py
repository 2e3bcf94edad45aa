"""Networks whose first weights nobody draws, because others are put in their place."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn import init
from torch.overrides import TorchFunctionMode

# The functions of `init` that a mode sees as one call; the others end in those of the tensor.
_WHOLE = tuple(getattr(init, f"{name}_") for name in ("normal", "uniform", "kaiming_normal", "kaiming_uniform"))
_DRAWS = (torch.Tensor.normal_, torch.Tensor.uniform_, *_WHOLE)


class Undrawn(TorchFunctionMode):
    """Leaves parameters as they are set aside: nothing is drawn for them, and nothing is made orthogonal.

    An orthogonal matrix costs several times its own memory and most of the time that an agent takes to load.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what is asked, without drawing."""
        if func in _DRAWS:
            return kwargs["tensor"] if kwargs and "tensor" in kwargs else args[0]
        if func is torch.linalg.qr:
            # What `orthogonal_` does next is done to this in place.
            return args[0], args[0]
        return func(*args, **(kwargs or {}))


def undrawn(policy: Any) -> AbstractContextManager[Any]:
    """Return the mode in which a policy is built: one of the user's own classes may draw what is no weight."""
    return Undrawn() if isinstance(policy, str) else nullcontext()
