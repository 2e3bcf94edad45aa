"""A live SB3 model, copied into an agent's parts."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq

from acclimate.errors import SourceError, suggest
from acclimate.formats.sb3 import hyperparameters
from acclimate.sb3 import vocabulary
from acclimate.sb3.blueprint import Blueprint
from acclimate.sb3.hindsight import Hindsight
from acclimate.sb3.noise import Noise
from acclimate.sb3.parts import Origin, Parts, parts_of


def read(model: BaseAlgorithm, origin: Origin | None = None) -> Parts:
    """Return copies of all that makes up a live model; the model is left as it is.

    Raises:
        SourceError: Its class is none of SB3's or sb3-contrib's algorithms.
    """
    algorithm = next((name for name, cls in vocabulary.ALGORITHMS.items() if type(model) is cls), None)
    if algorithm is None:
        raise SourceError(
            f"`{type(model).__name__}` is no algorithm of SB3 or sb3-contrib. "
            + suggest(type(model).__name__.lower(), vocabulary.ALGORITHMS)
        )
    kwargs = {key: _named(key, value) for key, value in model.policy_kwargs.items()}
    settings, unread = hyperparameters.read(algorithm, {**vars(model), **_plain_settings(model)})
    held = getattr(model, "action_noise", None)
    noise = Noise.around(held, math.prod(model.action_space.shape or ()))
    if held is not None and noise is None:
        unread.append(("action_noise", f"is `{type(held).__name__}`, no noise of SB3's own; left out"))
    blueprint = Blueprint(
        algorithm=algorithm,
        policy=_policy_name(model),
        policy_kwargs=kwargs,
        observation_space=copy.deepcopy(model.observation_space),
        action_space=copy.deepcopy(model.action_space),
        hyperparameters=settings,
        hindsight=_hindsight(model),
        noise=noise,
    )
    known = origin or Origin(steps=int(model.num_timesteps), n_envs=int(model.n_envs or 1))
    return parts_of(model, blueprint, origin=replace(known, unread=(*known.unread, *unread)))


def _hindsight(model: BaseAlgorithm) -> Hindsight | None:
    if getattr(model, "replay_buffer_class", None) is not HerReplayBuffer:
        return None
    return Hindsight.of(model.replay_buffer_kwargs or {}, model.observation_space, "replay_buffer_kwargs")  # type: ignore[attr-defined]


def _policy_name(model: BaseAlgorithm) -> Any:
    aliases = type(model).policy_aliases
    return next((alias for alias, cls in aliases.items() if cls is model.policy_class), model.policy_class)


def _named(key: str, value: Any) -> Any:
    return vocabulary.name_of(key, value) if isinstance(value, type) else copy.deepcopy(value)


def _plain_settings(model: BaseAlgorithm) -> dict[str, Any]:
    """Return settings that SB3 keeps as objects in the way that a file of plain values has them."""
    found: dict[str, Any] = {}
    frequency = getattr(model, "train_freq", None)
    if isinstance(frequency, TrainFreq):
        found["train_freq"] = [frequency.frequency, frequency.unit.value]
    entropy = getattr(model, "target_entropy", None)
    if isinstance(entropy, (np.ndarray, np.generic)) and entropy.size == 1:
        found["target_entropy"] = entropy.item()
    for name in ("learning_rate", "clip_range", "clip_range_vf", "delta_std"):
        schedule = getattr(model, name, None)
        if callable(schedule):
            # The text by which a file names a constant schedule.
            found[name] = {"value_schedule": str(getattr(schedule, "value_schedule", ""))}
    return found
