"""A bound on what a described network may set aside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from acclimate.errors import UnsafeFileError


class Budget(TorchFunctionMode):
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
        """Do what is asked, and count what `torch.empty` sets aside."""
        result = func(*args, **(kwargs or {}))
        # Every layer starts as `torch.empty`, whose pages cost nothing until they are written.
        if func is torch.empty:
            self.elements -= result.numel()
            self.tensors -= 1
            if self.elements < 0 or self.tensors < 0:
                raise UnsafeFileError(f"{self.where}: describes a network far larger than its weights; refused.")
        return result
