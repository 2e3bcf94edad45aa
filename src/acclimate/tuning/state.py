"""The state of methods as plain data, for checkpoints.

States keep what belongs to a parameter under the `Parameter` object. A file has no objects, so there they are
numbered by their place in the networks, which is the same again after the same methods were injected into the
same agent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from acclimate.errors import TrainingError
from acclimate.nets.alike import check_tensor

_BY_PARAMETER = "by parameter"
_TUPLE = "tuple"
_REMADE = "remade"


@dataclasses.dataclass(frozen=True)
class Remade:
    """What `init` makes the same again, such as a data set: a checkpoint leaves it out."""

    value: Any


def pack(state: Any, parameters: Sequence[Parameter]) -> Any:
    """Return a state as tensors, numbers, strings, lists and dicts with plain keys; tensors are copied.

    Raises:
        TrainingError: if the state holds something else.
    """
    places = {id(parameter): place for place, parameter in enumerate(parameters)}
    return _pack(state, places)


def _pack(state: Any, places: dict[int, int]) -> Any:
    if isinstance(state, Tensor):
        return state.detach().clone()
    if state is None or isinstance(state, (bool, int, float, str)):
        return state
    if isinstance(state, Remade):
        return {_REMADE: None}
    if isinstance(state, tuple):
        return {_TUPLE: [_pack(item, places) for item in state]}
    if isinstance(state, list):
        return [_pack(item, places) for item in state]
    if isinstance(state, dict) and any(isinstance(key, Parameter) for key in state):
        return {_BY_PARAMETER: {places[id(key)]: _pack(value, places) for key, value in state.items()}}
    if isinstance(state, dict):
        return {key: _pack(value, places) for key, value in state.items()}
    raise TrainingError(
        f"a method's state holds a {type(state).__name__}, which no checkpoint can; "
        "keep tensors, numbers, dicts and lists"
    )


def unpack(data: Any, parameters: Sequence[Parameter], fresh: Any = None) -> Any:
    """Return the state that `pack` made the data of, with the parameters of now.

    Args:
        data: what `pack` returned.
        parameters: those of the networks, in the same order.
        fresh: the state that `init` returned here; what is made anew is taken from it.

    Raises:
        ValueError: A tensor is of another shape or type than the fresh one; or a `LookupError`, for other parameters.
    """
    if isinstance(data, Tensor) and isinstance(fresh, Tensor) and fresh.numel():
        check_tensor(data, fresh, "the state of a method")
    if isinstance(data, list):
        return [unpack(item, parameters, part) for item, part in zip(data, _items(fresh, len(data)), strict=True)]
    known = fresh if isinstance(fresh, Mapping) else {}
    if not isinstance(data, dict):
        return data.clone() if isinstance(data, torch.Tensor) else data
    if set(data) == {_REMADE}:
        return fresh
    if set(data) == {_TUPLE}:
        return tuple(unpack(data[_TUPLE], parameters, fresh))
    if set(data) == {_BY_PARAMETER}:
        kept = {parameters[place]: value for place, value in data[_BY_PARAMETER].items()}
        return {parameter: unpack(value, parameters, known.get(parameter)) for parameter, value in kept.items()}
    return {key: unpack(value, parameters, known.get(key)) for key, value in data.items()}


def _items(fresh: Any, length: int) -> Sequence[Any]:
    """Return what stands at each place of a fresh state, None where it has another length by now."""
    same = isinstance(fresh, (list, tuple)) and len(fresh) == length
    return fresh if same else [None] * length
