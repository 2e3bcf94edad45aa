"""What is done in a rollout where a method decides it, in the place of what the algorithm has sampled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.composition import Composition
from acclimate.errors import SurgeryError
from acclimate.experience import Decision


class Decisions:
    """Asks the methods at each step of a rollout, and remembers which steps were the policy's own."""

    def __init__(self, model: BaseAlgorithm, composition: Composition) -> None:
        """Find out whether any method decides.

        Raises:
            SurgeryError: if one changes the minibatches of a replay buffer that the algorithm does not have.
        """
        for part, _ in composition.each("minibatch"):
            if getattr(model, "replay_buffer", None) is None:
                raise SurgeryError(
                    f"`{part.method.name}` changes the minibatches of a replay buffer, and {type(model).__name__} "
                    "has none; tune a SAC, TD3, DDPG, TQC, CrossQ, DQN or QR-DQN agent with it"
                )
        self.wanted = any(True for _ in composition.each("act"))
        """Whether a method decides what is done."""
        self.starts = np.ones(getattr(model, "n_envs", 1), dtype=bool)
        """Which environments begin an episode at the next step; off-policy algorithms do not keep it."""
        self._model, self._composition = model, composition
        self._own: list[NDArray[np.bool_]] = []

    def begin(self) -> None:
        """Forget the rollout before."""
        self._own = []

    @property
    def own(self) -> NDArray[np.bool_] | None:
        """Which rows of an on-policy rollout were the policy's own, (steps, environments); None if all were."""
        if not self._own or all(own.all() for own in self._own):
            return None
        return np.stack(self._own)

    @property
    def any_own(self) -> bool:
        """Whether the policy itself decided anything in the last rollout."""
        return not self._own or any(own.any() for own in self._own)

    def instead(self, policy: Any, args: tuple[Any, ...], output: Any) -> Any:
        """Put what the methods decide in the place of what an on-policy policy puts out: a forward hook."""
        actions, values, log_probs = output
        decision = self._decided(args[0], actions, np.asarray(self._model._last_episode_starts, dtype=bool))
        self._own.append(decision.own.cpu().numpy())
        return decision.actions, values, log_probs

    def stored(self, sampled: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the action for the environments and the one for the buffer, in the place of an off-policy sample.

        Args:
            sampled: (environments, axes), as the buffer stores it.
        """
        policy = self._model.policy
        observations, _ = policy.obs_to_tensor(self._model._last_obs)  # type: ignore[arg-type]
        decision = self._decided(observations, torch.as_tensor(sampled, device=policy.device), self.starts)
        stored = decision.actions.cpu().numpy().astype(sampled.dtype)
        if isinstance(self._model.action_space, Box):
            return policy.unscale_action(stored), stored
        return stored, stored

    @torch.no_grad()
    def _decided(self, observations: Any, actions: torch.Tensor, starts: NDArray[np.bool_]) -> Decision:
        begun = torch.as_tensor(starts, device=actions.device)
        return self._composition.act(Decision(observations, actions, begun, torch.ones_like(begun)))
