"""Where an SB3 model keeps its optimizers, and whether a saved state fits one of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.optim import Optimizer

from acclimate.nets.net import Net
from acclimate.sb3.counters import saved_names


def optimizers(model: BaseAlgorithm, nets: Iterable[Net]) -> Iterator[tuple[str, Optimizer]]:
    """Yield the optimizers of the networks with their path in the model, SAC's temperature left out."""
    known = {id(parameter) for net in nets for parameter in net.pretrained}
    names, _ = saved_names(model)
    for name in names:
        thing = follow(model, name)
        if isinstance(thing, Optimizer) and any(id(p) in known for g in thing.param_groups for p in g["params"]):
            yield name, thing


def follow(root: Any, path: str) -> Any:
    """Return what stands at a dotted path of attributes, None where one is missing; the empty path is the root."""
    for name in path.split(".") if path else ():
        root = getattr(root, name, None)
    return root


def load_state(optimizer: Optimizer | None, state: Any) -> str | None:
    """Put an optimizer's state back; return why not, where it does not fit."""
    if optimizer is None:
        return "the model has no such optimizer"
    fitted = fit(optimizer, state)
    if isinstance(fitted, str):
        return fitted
    optimizer.load_state_dict(fitted)
    return None


def fit(optimizer: Optimizer, state: Any) -> dict[str, Any] | str:
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
            return "it was made for tensors of another shape, or holds what is no number"
        if entries and _lacks(optimizer, entries):
            return "it was made by another kind of optimizer"
        if entries:
            fresh["state"][position] = entries
    return fresh


def check_state(saved: Any, optimizer: Optimizer, what: str) -> None:
    """Check that an optimizer can load a whole state from a file, with the settings of its groups.

    Raises:
        ValueError: It is one of other parameters or of another kind of optimizer.
    """
    fitted = fit(optimizer, saved)
    if isinstance(fitted, str):
        raise ValueError(f"{what}: {fitted}")
    own = optimizer.state_dict()["param_groups"]
    known = {index for group in own for index in group["params"]}
    if len(saved["param_groups"]) != len(own) or not saved["state"].keys() <= known:
        raise ValueError(f"{what}: its groups are others")
    for held, group in zip(saved["param_groups"], own, strict=True):
        if held.keys() != group.keys() or held["params"] != group["params"]:
            raise ValueError(f"{what}: its groups are others")
        for name, value in group.items():
            if not _is_setting(held[name], value):
                raise ValueError(f"{what}: its `{name}` is no setting of such an optimizer")


def _is_setting(held: Any, now: Any) -> bool:
    """Tell whether a group's setting may take the place of another."""
    if isinstance(now, (tuple, list)):
        return type(held) is type(now) and len(held) == len(now) and all(map(_is_setting, held, now))
    if type(now) in (int, float):
        return type(held) in (int, float) and 0.0 <= held < math.inf
    if isinstance(now, torch.Tensor):
        return isinstance(held, torch.Tensor) and held.shape == now.shape and held.dtype == now.dtype
    if now is None:
        return held is None or isinstance(held, bool)
    return type(held) is type(now)


_COUNTS = ("step", "mu_product")
_NEEDED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(["Adam", "AdamW", "RAdam"], ("step", "exp_avg", "exp_avg_sq")),
    "NAdam": ("step", "mu_product", "exp_avg", "exp_avg_sq"),
    "Adamax": ("step", "exp_avg", "exp_inf"),
    **dict.fromkeys(["RMSprop", "RMSpropTFLike"], ("step", "square_avg")),
    "Adagrad": ("step", "sum"),
    "Adadelta": ("step", "square_avg", "acc_delta"),
}
"""What each class looks up at its next step, for a parameter that it has stepped before."""
_ASKED = {"amsgrad": "max_exp_avg_sq", "centered": "grad_avg"}


def _lacks(optimizer: Optimizer, entries: Mapping[str, Any]) -> bool:
    """Tell whether the state of a parameter lacks what the next step looks up."""
    asked = [entry for setting, entry in _ASKED.items() if optimizer.param_groups[0].get(setting)]
    return any(entries.get(entry) is None for entry in (*_NEEDED.get(type(optimizer).__name__, ()), *asked))


def _fits(key: Any, value: Any, parameter: torch.Tensor) -> bool:
    """Tell whether an entry is a count, or moments in the shape of their parameter."""
    if not isinstance(key, str):
        return False
    if isinstance(value, torch.Tensor):
        dense = value.layout is torch.strided and not value.is_meta
        if not dense or key in _COUNTS:
            return dense and value.numel() == 1 and 0 <= value.item() < 2**53
        return value.shape == parameter.shape and bool(torch.isfinite(value).all())
    return type(value) in (int, float) and 0 <= value < 2**53 if key in _COUNTS else value is None
