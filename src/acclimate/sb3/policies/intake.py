"""What environments give and take, scaled as an SB3 model's minibatches have it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import Space
from gymnasium.spaces import Box, Dict
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import (
    get_obs_shape,
    is_image_space,
    is_image_space_channels_first,
    maybe_transpose,
)
from torch import Tensor


def tensors(policy: BasePolicy, observations: Any) -> Any:
    """Return a batch of scaled observations as the minibatches of a buffer have it.

    What SB3's `obs_to_tensor` makes of a batch, except that a Discrete observation is a column, (rows, 1), whether it
    comes from environments, (rows,), or from a buffer, which `obs_to_tensor` refuses. A dict has the space's order.

    Args:
        policy: reads them.
        observations: an array, or a dict of them; images with their channels at either end.
    """
    space = policy.observation_space
    if isinstance(space, Dict):
        return {key: _tensor(observations[key], part, policy.device) for key, part in space.items()}
    return _tensor(observations, space, policy.device)


def _tensor(observations: Any, space: Space[Any], device: torch.device) -> Tensor:
    turned = maybe_transpose(np.array(observations), space)
    return torch.as_tensor(turned.reshape(-1, *get_obs_shape(space)), device=device)  # type: ignore[misc]


def channels_first(space: Space[Any]) -> bool:
    """Tell whether observations of a space are images that SB3 has turned, or would take turned."""
    return is_image_space(space) and is_image_space_channels_first(space)  # type: ignore[arg-type]


def numbers(space: Space[Any], actions: np.ndarray) -> np.ndarray:
    """Return a batch of actions as the minibatches of a buffer have it: continuous ones as (rows, numbers) in 32 bits.

    Others, and whatever unit they are in, stay as they are.
    """
    return actions.reshape(len(actions), -1).astype(np.float32) if isinstance(space, Box) else actions


class SB3Intake:
    """Scales as the model does now; its normaliser, if it has one, is asked anew at each call."""

    def __init__(self, model: BaseAlgorithm) -> None:
        """Hold the model."""
        self._model = model

    @property
    def observation_space(self) -> Space[Any]:
        """What the environments show; images have their channels first."""
        return self._model.observation_space

    @property
    def action_space(self) -> Space[Any]:
        """What the environments take."""
        return self._model.action_space

    def observations(self, raw: Any) -> Any:
        """Return what the networks read."""
        normalize = self._model.get_vec_normalize_env()
        return tensors(self._model.policy, raw if normalize is None else normalize.normalize_obs(raw))

    def actions(self, raw: Any) -> Tensor:
        """Return actions as a replay buffer holds them: in [-1, 1] where they are continuous."""
        if isinstance(self._model.action_space, Box):
            raw = np.clip(self._model.policy.scale_action(raw), -1.0, 1.0)
        return torch.as_tensor(numbers(self._model.action_space, raw), device=self._model.device)

    def rewards(self, raw: Tensor) -> Tensor:
        """Return rewards as a sample of a replay buffer has them."""
        normalize = self._model.get_vec_normalize_env()
        if normalize is None:
            return raw
        return torch.as_tensor(normalize.normalize_reward(raw.cpu().numpy()), device=raw.device)
