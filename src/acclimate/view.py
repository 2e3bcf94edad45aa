"""What the prior sees: observations as scaled now, turned into what the pretrained networks would have read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from acclimate.normalizer import Normalizer


def prior_view(prior: Normalizer | None, now: VecNormalize | None) -> Callable[[Any], Any] | None:
    """Return what maps normalised observations of now to those of the file's statistics; None if there are none.

    The statistics move while the agent trains; its prior was trained under those of the file.
    """
    if prior is None or now is None or not now.norm_obs:
        return None

    def view(observations: torch.Tensor, mean: np.ndarray, var: np.ndarray, moved: RunningMeanStd) -> torch.Tensor:
        own_std, std = (np.sqrt(variance + prior.epsilon) for variance in (var, moved.var))
        slope, offset = (
            torch.as_tensor(part, dtype=observations.dtype, device=observations.device)
            for part in (std / own_std, (moved.mean - mean) / own_std)
        )
        return (observations * slope + offset).clamp(-prior.clip_obs, prior.clip_obs)

    def seen(observations: Any) -> Any:
        if not isinstance(now.obs_rms, dict):
            return view(observations, prior.obs_mean, prior.obs_var, now.obs_rms)  # type: ignore[arg-type]
        moved = {
            key: view(observations[key], prior.obs_mean[key], prior.obs_var[key], statistics)
            for key, statistics in now.obs_rms.items()
        }
        return {**observations, **moved}

    return seen
