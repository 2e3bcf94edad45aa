"""Agents whose networks are on a GPU: SB3 collects, and updates are captured as CUDA graphs."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from gymnasium import Space, spaces
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import DictRolloutBuffer, ReplayBuffer, RolloutBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    MultiInputActorCriticPolicy,
)

from acclimate.engine.device import algorithms, on_policy
from acclimate.engine.device.captured import Cuda, Recorder
from acclimate.engine.device.numbers import Refused, unchecked
from acclimate.engine.device.penalties import Penalties
from acclimate.engine.device.steps import list_step
from acclimate.engine.on_policy import unfit
from acclimate.experience import Batch
from acclimate.seam import Seam
from acclimate.tuner import Tuner

_ON_POLICY = (ActorCriticPolicy, ActorCriticCnnPolicy, MultiInputActorCriticPolicy)


class DeviceEngine:
    """Updates an agent by what is captured once and replayed; its rollouts are collected by SB3."""

    def __init__(self, seam: Seam, stock: type, recorder: Recorder | None = None) -> None:
        """Prepare; `cannot` has said that all of this can be run.

        Args:
            seam: of the model.
            stock: the model's class.
            recorder: makes the captures, CUDA's by default.
        """
        self._model, self._stock = seam.model, stock
        captures = recorder or Cuda(torch.device(seam.model.device))
        if issubclass(stock, OffPolicyAlgorithm):
            self.update: Any = algorithms.update_of(seam.model, stock, seam.tuner, captures)
        else:
            self.update = on_policy.update_of(seam.model, seam.tuner, captures)  # type: ignore[arg-type]

    def collect(self, *args: Any, **kwargs: Any) -> Any:
        """Fill the buffer, as the algorithm itself does."""
        return self._stock.collect_rollouts(self._model, *args, **kwargs)  # type: ignore[attr-defined]

    def train(self, *args: Any, **kwargs: Any) -> None:
        """Update from the buffer."""
        self.update.train(*args, **kwargs)


def cannot(model: Any, stock: type, tuner: Tuner) -> str | None:
    """Return why an agent with these methods is not trained here, None if it is.

    Args:
        model: the agent's model.
        stock: its class, without what the seam has made of it.
        tuner: the methods.
    """
    off = issubclass(stock, OffPolicyAlgorithm)
    if (why := _off_policy(model, stock) if off else _on_policy(model, stock)) is not None:
        return why
    if any(True for _ in tuner.composition.each("act")):
        return "a method that decides what is done"
    held = [groups.optimizer for groups in tuner.adopted]
    own = getattr(model, "ent_coef_optimizer", None)
    steps = map(list_step, held if own is None else [*held, own])
    return next((step for step in steps if isinstance(step, str)), None) or _penalties(model, tuner)


def _off_policy(model: Any, stock: type) -> str | None:
    if not algorithms.trains(stock):
        return f"the algorithm {stock.__name__}"
    if type(model.replay_buffer) is not ReplayBuffer:
        return f"the buffer {type(model.replay_buffer).__name__}"
    if model.use_sde:
        return "exploration that depends on the state (gSDE)"
    shared = getattr(model.policy, "share_features_extractor", False)
    if shared and stock is not DQN and any(True for _ in model.policy.actor.features_extractor.parameters()):
        return "a features extractor with weights that actor and critics share"
    return None


def _on_policy(model: Any, stock: type) -> str | None:
    if (why := unfit(model, stock, RolloutBuffer, DictRolloutBuffer)) is not None:
        return why
    return None if type(model.policy) in _ON_POLICY else f"the policy {type(model.policy).__name__}"


def _penalties(model: Any, tuner: Tuner) -> str | None:
    """Return which penalty asks for what changes in a run, None if none does; they are tried on two rows."""
    tried = Penalties(tuner.composition, torch.device(model.device))
    device, nothing = torch.device(model.device), torch.zeros(2, 1, device=model.device)
    actions = torch.as_tensor(_drawn(model.action_space), device=device).reshape(2, -1)
    seen = _observations(model)
    drawing = [device.index or 0] if device.type == "cuda" else []
    try:
        with unchecked(), torch.random.fork_rng(devices=drawing):
            tried.composition.penalty(Batch(seen, actions, nothing, seen, nothing))
    except Refused as refused:
        return str(refused)
    return None


def _observations(model: Any) -> Any:
    space = model.observation_space
    if isinstance(space, spaces.Dict):
        return {key: torch.as_tensor(_drawn(part), device=model.device) for key, part in space.items()}
    return torch.as_tensor(_drawn(space), device=model.device)


def _drawn(space: Space[Any]) -> Any:
    own = copy.deepcopy(space)
    own.seed(0)
    return np.stack([np.asarray(own.sample()) for _ in range(2)])
