"""The state of methods as plain data, for checkpoints.

States keep what belongs to a parameter under the `Parameter` object. A file has no objects, so there they are
numbered by their place in the networks, which is the same again after the same methods were injected into the
same agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from acclimate.errors import TrainingError

_BY_PARAMETER = "by parameter"
_TUPLE = "tuple"


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


def unpack(data: Any, parameters: Sequence[Parameter]) -> Any:
    """Return the state that `pack` made the data of, with the parameters of now."""
    if isinstance(data, list):
        return [unpack(item, parameters) for item in data]
    if not isinstance(data, dict):
        return data.clone() if isinstance(data, torch.Tensor) else data
    if set(data) == {_TUPLE}:
        return tuple(unpack(item, parameters) for item in data[_TUPLE])
    if set(data) == {_BY_PARAMETER}:
        return {parameters[place]: unpack(value, parameters) for place, value in data[_BY_PARAMETER].items()}
    return {key: unpack(value, parameters) for key, value in data.items()}
