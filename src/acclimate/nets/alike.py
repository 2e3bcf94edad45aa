"""Are tensors that were kept those that are wanted? Asked before they are put anywhere, as torch may not ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, isfinite, strided


def check_tensor(saved: Any, now: Tensor, what: str) -> None:
    """Check that a value from a file is a dense tensor like another one.

    Raises:
        ValueError: It is of another kind, shape or type, or a few numbers that pose as many.
    """
    if not isinstance(saved, Tensor) or saved.layout is not strided or saved.is_meta:
        raise ValueError(f"{what} is no dense tensor")
    if saved.shape != now.shape or saved.dtype != now.dtype:
        raise ValueError(f"{what} is {saved.dtype} of shape {tuple(saved.shape)}, not {now.dtype} {tuple(now.shape)}")
    if saved.numel() * saved.element_size() > saved.untyped_storage().nbytes():
        raise ValueError(f"{what} claims more numbers than it has")


def check_tensors(saved: Any, now: Mapping[str, Tensor], what: str) -> None:
    """Check that a mapping from a file holds finite tensors like those of another one, under the same names.

    Raises:
        ValueError: It does not.
    """
    if not isinstance(saved, Mapping) or saved.keys() != now.keys():
        raise ValueError(f"{what} is of another network")
    for name, tensor in now.items():
        check_tensor(saved[name], tensor, f"{what}.{name}")
        if not isfinite(saved[name]).all():
            raise ValueError(f"{what}.{name} holds what is no number")
