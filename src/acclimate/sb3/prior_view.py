"""What the prior sees: observations as scaled now, turned into what the pretrained networks would have read."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecNormalize

from acclimate.sb3.normalizer import Normalizer


class PriorView:
    """Maps normalised observations of now to those of the file's statistics, and back.

    The statistics move while the agent trains; its prior was trained under those of the file.
    """

    def __init__(self, prior: Normalizer, now: VecNormalize) -> None:
        """Hold both; those of now are read anew at each call."""
        self._prior, self._now = prior, now

    def __call__(self, observations: Any) -> Any:
        """Return what the pretrained networks would have read."""
        return self._mapped(observations, back=False)

    def back(self, observations: Any) -> Any:
        """Return what the networks read now of what the pretrained ones would have read."""
        return self._mapped(observations, back=True)

    def _mapped(self, observations: Any, *, back: bool) -> Any:
        moved = self._now.obs_rms
        if not isinstance(moved, dict):
            return self._one(observations, (self._prior.obs_mean, self._prior.obs_var), moved, back)
        return {
            **observations,
            **{
                key: self._one(
                    observations[key],
                    (self._prior.obs_mean[key], self._prior.obs_var[key]),  # type: ignore[index]
                    statistics,
                    back,
                )
                for key, statistics in moved.items()
            },
        }

    def _one(self, observations: torch.Tensor, file: tuple[Any, Any], moved: Any, back: bool) -> torch.Tensor:
        then, now = (
            (mean, np.sqrt(variance + self._prior.epsilon)) for mean, variance in (file, (moved.mean, moved.var))
        )
        (mean, std), (other_mean, other_std) = (then, now) if back else (now, then)
        slope, offset = (
            torch.as_tensor(part, dtype=observations.dtype, device=observations.device)
            for part in (std / other_std, (mean - other_mean) / other_std)
        )
        return (observations * slope + offset).clamp(-self._prior.clip_obs, self._prior.clip_obs)


def prior_view(prior: Normalizer | None, now: VecNormalize | None) -> PriorView | None:
    """Return the view of a run; None where observations are not normalised."""
    return None if prior is None or now is None or not now.norm_obs else PriorView(prior, now)
