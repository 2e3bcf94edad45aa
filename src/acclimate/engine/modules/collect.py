"""The rollouts of PPO and A2C whose policy is run by its own modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.utils import obs_as_tensor

from acclimate.engine.modules.lookup import Chosen, tensors
from acclimate.engine.modules.policy import Modules
from acclimate.engine.modules.prefix import PIECE
from acclimate.engine.on_policy.collect import Rollout
from acclimate.nets.net import Acting
from acclimate.sb3.policies import intake
from acclimate.seam.decisions import Decisions

Array = NDArray[Any]


class ModuleRollout(Rollout):
    """A rollout whose policy is run by its own modules: by the actor in each step, and by the critic in the end.

    What a trunk with weights puts out in a step is kept for the critic. Masks that stay through a rollout are at work
    while the policy is run for the step at hand, and only then, as under SB3.
    """

    def __init__(self, model: PPO | A2C, oracle: Modules, acting: Iterable[Acting], decisions: Decisions) -> None:
        """Begin a rollout; the model's buffer has been reset."""
        buffer = model.rollout_buffer
        super().__init__(model, oracle, buffer)  # type: ignore[arg-type]
        self._modules, self._acting, self._decisions = oracle, tuple(acting), decisions
        self._step = 0
        self._features: list[torch.Tensor] = []
        self._sampled: list[Array] = []
        if oracle.images:
            self._bring_together()
        oracle.prefix.begin(self._seen(), buffer.values.size)

    def _bring_together(self) -> None:
        """Lay images out with the channels of a pixel side by side, as convolutions read them fastest."""
        oracle, buffer = self._modules, self._buffer
        steps, beside, channels, *size = buffer.observations.shape
        if oracle.pixels is None:
            oracle.pixels = np.empty((steps, beside, *size, channels), buffer.observations.dtype)
        buffer.observations = np.moveaxis(oracle.pixels, -1, 2)

    def _seen(self) -> Any:
        return obs_as_tensor(self._model._last_obs, self._model.device)  # type: ignore[arg-type]

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        for flag in self._acting:
            flag.on = True
        try:
            with torch.no_grad():
                yield
        finally:
            for flag in self._acting:
                flag.on = False

    def _out(self) -> Array:
        oracle, beside = self._modules, self._model.n_envs
        place = slice(self._step * beside, (self._step + 1) * beside)
        self._step += 1
        with self._at_work():
            features = oracle.prefix.act(self._seen(), place)
            if oracle.learned:
                self._features.append(features)
            return oracle.actor(features).numpy()

    def _chosen(self, sampled: Array) -> Array:
        if not self._decisions.wanted:
            return sampled
        self._sampled.append(sampled)
        chosen, _, _ = self._decisions.instead(None, (self._seen(),), {}, (torch.from_numpy(sampled), None, None))
        return chosen.numpy()

    def _keep(self, step: int) -> None:
        seen, kept = self._model._last_obs, self._buffer.observations
        if isinstance(seen, dict):
            for key, part in seen.items():
                kept[key][step] = part.reshape(kept[key].shape[1:])  # type: ignore[index]
        elif self._modules.images:
            # In the order of memory: in another one numpy would copy number by number.
            np.moveaxis(kept[step], 1, -1)[...] = np.moveaxis(seen, 1, -1)  # type: ignore[arg-type]
        else:
            kept[step] = np.reshape(seen, kept.shape[1:])  # type: ignore[arg-type]

    def _drawn(self) -> Array:
        if not self._sampled:
            return super()._drawn()
        return np.concatenate(self._sampled).reshape(self._buffer.values.size, -1)

    def _values(self) -> Array:
        with self._at_work():
            if self._features:
                return _numbers(self._modules.critic(torch.cat(self._features)))
            rows = Chosen(tensors(self._buffer), torch.arange(self._buffer.values.size))
            critic, trunk = self._modules.critic, self._modules.trunk
            return np.concatenate([_numbers(critic(trunk(rows[i : i + PIECE]))) for i in range(0, len(rows), PIECE)])

    @torch.no_grad()
    def _values_at(self, observations: Any) -> Array:
        seen = intake.tensors(self._model.policy, observations)
        return _numbers(self._modules.critic(self._modules.trunk(seen)))


def _numbers(values: torch.Tensor) -> Array:
    return values[:, 0].numpy().astype(np.float32)
