"""A method of one instance with other constants.

Some environments keep their physics in constants of their module or in numbers inside a method. One instance
gets a copy of the method that sees other values; the class, the module and every other instance stay as they
are.
"""

from __future__ import annotations

from types import CodeType, FunctionType, MethodType
from typing import Any

import gymnasium as gym

from acclimate.errors import TaskError


def constant(env: gym.Env, method: str, name: str) -> Any:
    """Read a constant of the module as a method of this instance sees it."""
    return getattr(env, method).__func__.__globals__[name]


def rebind_constants(env: gym.Env, method: str, values: dict[str, Any]) -> None:
    """Let a method of this instance see other values for constants of its module."""
    function = getattr(env, method).__func__
    _bind(env, method, function, function.__code__, {**function.__globals__, **values})


def number(env: gym.Env, method: str, original: float) -> float:
    """Read the number that stands in a method of this instance where its class has `original`.

    Raises:
        TaskError: if the class's method does not have it exactly once.
    """
    return getattr(env, method).__func__.__code__.co_consts[_position(env, method, original)]


def rebind_number(env: gym.Env, method: str, original: float, value: float) -> None:
    """Put another number into a method of this instance where its class has `original`.

    Raises:
        TaskError: if the class's method does not have it exactly once.
    """
    function = getattr(env, method).__func__
    numbers = list(function.__code__.co_consts)
    numbers[_position(env, method, original)] = value
    code = function.__code__.replace(co_consts=tuple(numbers))
    _bind(env, method, function, code, function.__globals__)


def _position(env: gym.Env, method: str, original: float) -> int:
    numbers = getattr(type(env), method).__code__.co_consts
    places = [place for place, value in enumerate(numbers) if isinstance(value, float) and value == original]
    if len(places) != 1:
        raise TaskError(
            f"`{method}` of this version of {type(env).__name__} lacks the number {original}, "
            "so it cannot be shifted; use another shift or gymnasium 1.2 to 1.4"
        )
    return places[0]


def _bind(env: gym.Env, method: str, function: FunctionType, code: CodeType, names: dict[str, Any]) -> None:
    copy = FunctionType(code, names, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    setattr(env, method, MethodType(copy, env))
