"""Weights of old versions, renamed to what today's networks call them."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import torch

from acclimate.errors import SourceError
from acclimate.sb3.blueprint import Blueprint

Weights = dict[str, torch.Tensor]
_ACTOR_CRITIC = ("ppo", "a2c", "trpo", "maskable_ppo", "recurrent_ppo")
_SHARED = re.compile(r"mlp_extractor\.shared_net\.(\d+)\.(\w+)")
_OWN = re.compile(r"mlp_extractor\.(policy|value)_net\.(\d+)\.(\w+)")


def modernize(blueprint: Blueprint, weights: Weights) -> tuple[Blueprint, Weights]:
    """Return a blueprint and weights of today's layout that describe the same function.

    Raises:
        SourceError: An old layout that cannot be told apart.
    """
    if blueprint.algorithm == "ars":
        weights = {re.sub(r"^action_net\.(weight|bias)$", r"action_net.0.\1", name): t for name, t in weights.items()}
    if blueprint.algorithm in _ACTOR_CRITIC:
        weights = _features_for_both(weights)
        if isinstance(blueprint.policy_kwargs.get("net_arch"), list):
            blueprint, weights = _unshare(blueprint, weights)
    return blueprint, weights


def _features_for_both(weights: Weights) -> Weights:
    """Give actor and critic the one features extractor that SB3 before 1.7 named once."""
    names = [name for name in weights if name.startswith("features_extractor.")]
    if not names or any(name.startswith("pi_features_extractor.") for name in weights):
        return weights
    return {**weights, **{f"{head}_{name}": weights[name] for name in names for head in ("pi", "vf")}}


def _unshare(blueprint: Blueprint, weights: Weights) -> tuple[Blueprint, Weights]:
    """Write layers that actor and critic shared (SB3 before 1.8) as equal layers of both."""
    arch: list[Any] = blueprint.policy_kwargs["net_arch"]
    shared = [width for width in arch if not isinstance(width, dict)]
    if not any(_SHARED.fullmatch(name) for name in weights):
        return blueprint, weights
    heads = arch[-1] if isinstance(arch[-1], dict) else {}
    if len(shared) + bool(heads) != len(arch):
        raise SourceError(f"{blueprint.algorithm}: net_arch {str(arch)[:100]} is no layout of SB3; save it again.")
    moved: Weights = {}
    for name, tensor in weights.items():
        if match := _SHARED.fullmatch(name):
            for head in ("policy", "value"):
                moved[f"mlp_extractor.{head}_net.{match[1]}.{match[2]}"] = tensor
        elif match := _OWN.fullmatch(name):
            # Each layer is a linear map and an activation.
            moved[f"mlp_extractor.{match[1]}_net.{int(match[2]) + 2 * len(shared)}.{match[3]}"] = tensor
        else:
            moved[name] = tensor
    arch = {head: [*shared, *heads.get(head, [])] for head in ("pi", "vf")}
    kwargs = {**blueprint.policy_kwargs, "net_arch": arch}
    return dataclasses.replace(blueprint, policy_kwargs=kwargs), moved
