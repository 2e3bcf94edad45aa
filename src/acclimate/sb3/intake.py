"""What environments give and take, scaled as an SB3 model's minibatches have it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import Space
from gymnasium.spaces import Box
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor


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
        tensors, _ = self._model.policy.obs_to_tensor(raw if normalize is None else normalize.normalize_obs(raw))
        return tensors

    def actions(self, raw: Any) -> Tensor:
        """Return actions as a replay buffer holds them: in [-1, 1] where they are continuous."""
        if isinstance(self._model.action_space, Box):
            raw = np.clip(self._model.policy.scale_action(raw), -1.0, 1.0)
        return torch.as_tensor(raw, device=self._model.device)

    def rewards(self, raw: Tensor) -> Tensor:
        """Return rewards as a sample of a replay buffer has them."""
        normalize = self._model.get_vec_normalize_env()
        if normalize is None:
            return raw
        return torch.as_tensor(normalize.normalize_reward(raw.cpu().numpy()), device=raw.device)
