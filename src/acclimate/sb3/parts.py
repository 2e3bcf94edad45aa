"""What a source yields and a writer asks for: everything of an agent but its normaliser, not yet put together."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.nets.copies import copied
from acclimate.sb3.blueprint import Blueprint
from acclimate.sb3.optimizers import follow
from acclimate.tuning.method import Method

OPTIMIZERS = ("policy.optimizer", "actor.optimizer", "critic.optimizer", "ent_coef_optimizer")
VARIABLES = ("log_ent_coef", "ent_coef_tensor")
COUNTERS = ("num_timesteps", "_total_timesteps", "_n_updates", "_n_calls", "_episode_num")
RATES = ("_current_progress_remaining", "exploration_rate")


@dataclass(frozen=True)
class Origin:
    """Where an agent came from, and what could be learnt about it there."""

    path: str | None = None
    sha256: str | None = None
    revision: str | None = None
    """The commit of a Hub repository."""
    env_id: str | None = None
    """From the files beside it, or from its name; the id of the time of training."""
    versions: Mapping[str, str] = field(default_factory=dict)
    steps: int = 0
    """Environment steps it was trained for."""
    n_envs: int | None = None
    """In how many environments, where its file tells."""
    unread: tuple[tuple[str, str], ...] = ()
    """Fields that were not read, each with the reason."""
    fresh: bool = False
    """Whether its critic was newly drawn, as its file holds none."""
    normalized: bool | None = None
    """Whether its file says that it was trained in SB3's ``VecNormalize``; None if it does not tell."""
    normalizer: str | None = None
    """The file that its normaliser was read from."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Hints of a config file beside it: ``env_wrapper``, ``frame_stack``, ``normalize``, ``env_kwargs``."""


@dataclass(frozen=True)
class Parts:
    """What a source yields: everything of an agent but its normaliser, not yet put together."""

    blueprint: Blueprint
    weights: Mapping[str, torch.Tensor]
    optimizers: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, torch.Tensor] = field(default_factory=dict)
    counters: Mapping[str, float] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)
    methods: tuple[Method, ...] = ()
    """Those that its networks carry, in the order of their injection."""

    @property
    def where(self) -> str:
        """How an error names them."""
        return self.origin.path or self.blueprint.algorithm

    def normalized_by(self, path: Path) -> Parts:
        """Return the same parts, whose normaliser is known to come from this file."""
        return dataclasses.replace(self, origin=dataclasses.replace(self.origin, normalizer=str(path)))

    def from_revision(self, commit: str) -> Parts:
        """Return the same parts, known to come from this commit of a Hub repository."""
        return dataclasses.replace(self, origin=dataclasses.replace(self.origin, revision=commit))


def parts_of(
    model: BaseAlgorithm,
    blueprint: Blueprint,
    *,
    weights: Mapping[str, torch.Tensor] | None = None,
    origin: Origin | None = None,
    methods: tuple[Method, ...] = (),
) -> Parts:
    """Return copies of all that a model holds, from which an equal one can be put together.

    Args:
        model: stays as it is.
        blueprint: how it is built.
        weights: its own, where they are copied later anyway; a copy of them by default.
        origin: where it came from.
        methods: those that its networks carry.
    """
    held = copied(model.policy) if weights is None else weights
    optimizers = {name: follow(model, name) for name in OPTIMIZERS}
    variables = {name: getattr(model, name, None) for name in VARIABLES}
    return Parts(
        blueprint=blueprint,
        weights={name: tensor.cpu() for name, tensor in held.items()},
        optimizers={name: copy.deepcopy(found.state_dict()) for name, found in optimizers.items() if found},
        variables={n: v.detach().cpu().clone() for n, v in variables.items() if isinstance(v, torch.Tensor)},
        counters={name: getattr(model, name) for name in (*COUNTERS, *RATES) if hasattr(model, name)},
        origin=origin or Origin(),
        methods=methods,
    )
