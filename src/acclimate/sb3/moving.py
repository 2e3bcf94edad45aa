"""The moving statistics of a normaliser as tensors, out into a checkpoint and back in."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecNormalize

from acclimate.nets.alike import check_tensor
from acclimate.sb3.normalizer import Normalizer, save_vec_normalize


def normalizer_state(normalizer: Normalizer | None) -> dict[str, Any] | None:
    """Return a normaliser's moving statistics as tensors."""
    if normalizer is None:
        return None
    moving = {name: getattr(normalizer, name) for name in _MOVING}
    return {name: _tensors(value) for name, value in moving.items()}


_MOVING = ("obs_mean", "obs_var", "obs_count", "ret_mean", "ret_var", "ret_count")


def restore_normalizer(wrapper: VecNormalize, state: dict[str, Any]) -> None:
    """Put moving statistics back into SB3's wrapper.

    Raises:
        ValueError: They are not those of such a wrapper.
    """
    _check(state, save_vec_normalize(wrapper))
    wrapper.ret_rms.mean, wrapper.ret_rms.var = state["ret_mean"].numpy(), state["ret_var"].numpy()
    wrapper.ret_rms.count = float(state["ret_count"])
    if not wrapper.norm_obs:
        return
    for key, statistics in _by_key(wrapper.obs_rms):
        for field in ("mean", "var", "count"):
            value = state[f"obs_{field}"]
            value = value if key is None else value[key]
            setattr(statistics, field, float(value) if field == "count" else value.numpy())


def read_normalizer(state: dict[str, Any] | None, like: Normalizer | None) -> Normalizer | None:
    """Return a normaliser with these statistics and the constants of another.

    Raises:
        ValueError: They are not those of such a normaliser.
    """
    if state is None or like is None:
        return None
    _check(state, like)
    return replace(like, **{name: _arrays(value, scalar=name in _SCALARS) for name, value in state.items()})


_SCALARS = ("obs_count", "ret_mean", "ret_var", "ret_count")


def _by_key(statistics: Any) -> list[tuple[str | None, Any]]:
    return list(statistics.items()) if isinstance(statistics, dict) else [(None, statistics)]


def _tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tensors(part) for key, part in value.items()}
    return torch.as_tensor(np.asarray(value, dtype=np.float64))


def _arrays(value: Any, *, scalar: bool) -> Any:
    if isinstance(value, dict):
        return {key: _arrays(part, scalar=scalar) for key, part in value.items()}
    return float(value) if scalar else value.numpy()


def _check(state: Any, like: Normalizer | None) -> None:
    """Check that statistics from a file are finite, and those of the same observations."""
    own = normalizer_state(like) or {}
    if not isinstance(state, dict) or state.keys() != own.keys():
        raise ValueError("the normaliser is another one")
    for name, value in own.items():
        pairs = [(state[name], value)] if isinstance(value, torch.Tensor) else _paired(state[name], value)
        for held, wanted in pairs:
            check_tensor(held, wanted, f"normalizer.{name}")
            least = -math.inf if name.endswith("mean") else 0.0
            if not (torch.isfinite(held).all() and (held >= least).all()):
                raise ValueError(f"normalizer.{name} holds what is no statistic")


def _paired(state: Any, own: dict[str, torch.Tensor]) -> list[tuple[Any, torch.Tensor]]:
    if not isinstance(state, dict) or state.keys() != own.keys():
        raise ValueError("the normaliser is one of other observations")
    return [(state[key], value) for key, value in own.items()]
