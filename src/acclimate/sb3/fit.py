"""The state of an optimizer, checked against the optimizer that is to take it."""

from __future__ import annotations

from typing import Any

import torch


def fit(optimizer: torch.optim.Optimizer, state: Any) -> dict[str, Any] | str:
    """Return a state that `optimizer` can load, or the reason why this one cannot be.

    Only moments and counters are taken from the file; the settings of the groups stay those of the optimizer,
    whose learning rate comes from the recipe.
    """
    try:
        saved, groups = state["state"], state["param_groups"]
        order = [index for group in groups for index in group["params"]]
    except (KeyError, TypeError, IndexError):
        return "no state of an optimizer"
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if len(order) == 2 * len(parameters):
        order = order[: len(parameters)]  # SB3 before 2.4 gave DQN's target network to the optimizer too.
    if len(order) != len(parameters) or not isinstance(saved, dict):
        return f"it was made for {len(order)} tensors, the network has {len(parameters)}"
    fresh = optimizer.state_dict()
    for position, (index, parameter) in enumerate(zip(order, parameters, strict=True)):
        if not isinstance(index, int):
            return "no state of an optimizer"
        entries = saved.get(index, {})
        if not isinstance(entries, dict) or not all(_fits(key, value, parameter) for key, value in entries.items()):
            return "it was made for tensors of another shape"
        if entries:
            fresh["state"][position] = entries
    return fresh


def _fits(key: Any, value: Any, parameter: torch.Tensor) -> bool:
    if not isinstance(key, str):
        return False
    if isinstance(value, torch.Tensor):
        dense = value.layout is torch.strided and not value.is_meta
        return dense and value.shape in (parameter.shape, torch.Size([]), torch.Size([1]))
    return value is None or (isinstance(value, (int, float)) and abs(value) < 2**53)
