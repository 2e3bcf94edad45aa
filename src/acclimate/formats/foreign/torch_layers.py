"""Layers out of a torch state dict, in the order in which its names count them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch

from acclimate.errors import SourceError
from acclimate.formats.foreign.layers import Conv, Dense, Layer, Stack

State = Mapping[str, torch.Tensor]


def sequence(state: State, prefix: str, activation: str, *, where: str, last: str = "") -> Stack:
    """Return the layers of a `Sequential`: what is called PREFIX then a number, such as `actor.0.weight`.

    Args:
        state: the state dict.
        prefix: with its dot.
        activation: of the hidden layers, which a state dict does not tell.
        where: how an error names the file.
        last: activation of the last layer.

    Raises:
        SourceError: There are none, or they are no dense layers that fit to one another.
    """
    places = sorted({int(m[1]) for name in state if (m := re.fullmatch(rf"{re.escape(prefix)}(\d+)\.weight", name))})
    return listed(state, [f"{prefix}{place}" for place in places], activation, where=where, last=last)


def listed(state: State, names: Sequence[str], activation: str, *, where: str, last: str = "") -> Stack:
    """Return layers by their names, as `sequence` does."""
    if not names:
        raise SourceError(f"{where}: has no layers of that name; it holds {', '.join(list(state)[:6])}")
    found = tuple(dense(state, name, last if name == names[-1] else activation, where=where) for name in names)
    for below, above in pairwise(found):
        if above.weight.shape[1] != below.units:
            raise SourceError(
                f"{where}: a layer of {below.units} units is followed by one that reads {above.weight.shape[1]}"
            )
    return found


def dense(state: State, name: str, activation: str, *, where: str) -> Dense:
    """Return a dense layer.

    Raises:
        SourceError: It is none.
    """
    weight, bias = _numbers(state, f"{name}.weight", where), state.get(f"{name}.bias")
    if weight.ndim != 2:
        raise SourceError(f"{where}: `{name}.weight` is of shape {weight.shape}, no dense layer")
    held = np.zeros(len(weight), np.float32) if bias is None else _numbers(state, f"{name}.bias", where)
    if held.shape != weight.shape[:1]:
        raise SourceError(f"{where}: `{name}.bias` is of shape {held.shape}, not {weight.shape[:1]}")
    return Dense(weight, held, activation)


def convolution(state: State, name: str, stride: tuple[int, int], activation: str, *, where: str) -> Layer:
    """Return a convolution.

    Raises:
        SourceError: It is none.
    """
    weight = _numbers(state, f"{name}.weight", where)
    if weight.ndim != 4:
        raise SourceError(f"{where}: `{name}.weight` is of shape {weight.shape}, no convolution of images")
    return Conv(weight, _numbers(state, f"{name}.bias", where), stride, activation)


def vector(state: State, name: str, where: str) -> np.ndarray:
    """Return a parameter, flat."""
    return _numbers(state, name, where).ravel()


def _numbers(state: State, name: str, where: str) -> np.ndarray:
    if name not in state:
        raise SourceError(f"{where}: lacks `{name}`; save the whole state dict again")
    found = state[name].detach().to(torch.float32).numpy()
    if not np.isfinite(found).all():
        raise SourceError(f"{where}: `{name}` holds numbers that are not finite")
    return np.ascontiguousarray(found)
