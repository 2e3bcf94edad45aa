"""What Stable-Baselines3 counts and holds under private names, read and written here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

KEPT = ("_n_updates", "_n_calls", "_episode_num")
"""What it counts besides steps: on them depend delayed policy updates and copies to target networks."""


def updates_of(model: BaseAlgorithm) -> int:
    """Return how many updates the algorithm has counted."""
    return int(model._n_updates)


def counters_of(model: BaseAlgorithm) -> dict[str, Any]:
    """Return the counters that a run goes on with."""
    return {name: getattr(model, name) for name in KEPT if hasattr(model, name)}


def set_counters(model: BaseAlgorithm, counters: Mapping[str, Any]) -> None:
    """Put counters back, those that the model has."""
    for name in KEPT:
        if name in counters and hasattr(model, name):
            setattr(model, name, counters[name])


def carry_counters(before: BaseAlgorithm, model: BaseAlgorithm) -> None:
    """Let a model count on where another of its kind stood."""
    set_counters(model, counters_of(before))


def actions_of(policy: BasePolicy, obs: Any, *, deterministic: bool) -> Tensor:
    """Return a policy's actions for observations that are tensors already, before they are scaled to the task's."""
    return policy._predict(obs, deterministic=deterministic)


def saved_names(model: BaseAlgorithm) -> tuple[list[str], list[str]]:
    """Return the dotted names of a model's modules and optimizers, and of its other tensors, as its zip holds them."""
    return model._get_torch_save_params()


def last_observations(model: BaseAlgorithm) -> Any:
    """Return what the training environments showed last, normalised."""
    return model._last_obs
