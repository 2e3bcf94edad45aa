"""What is done in a rollout where a method decides it, in the place of what the algorithm has sampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from acclimate.nets.experience import Decision
from acclimate.nets.net import Net
from acclimate.sb3.policies.intake import tensors
from acclimate.seam.recollection import Recollection
from acclimate.tuning.composition import Composition


class Decisions:
    """Asks the methods at each step of a rollout, and remembers which steps were the policy's own."""

    def __init__(self, model: BaseAlgorithm, composition: Composition, recollection: Recollection) -> None:
        """Find out whether any method decides."""
        self.wanted = any(view.decides for _, view in composition.each("act"))
        """Whether a method decides what is done."""
        self._model, self._composition, self._recollection = model, composition, recollection
        self._own: list[NDArray[np.bool_]] = []

    def begin(self) -> None:
        """Forget the rollout before."""
        self._own = []

    @property
    def own(self) -> NDArray[np.bool_] | None:
        """Which rows of an on-policy rollout were the policy's own, (steps, environments); None if all were."""
        if all(own.all() for own in self._own):
            return None
        return np.stack(self._own)

    @property
    def enough(self) -> bool:
        """Whether the last rollout leaves an update something: one row alone has no advantage over any other."""
        own = self.own
        return own is None or int(own.sum()) > 1

    def instead(self, policy: Any, args: tuple[Any, ...], named: Mapping[str, Any], output: Any) -> Any:
        """Put what the methods decide in the place of what an on-policy policy puts out: a forward hook."""
        sampled, *others = output
        decision = self._decided(args[0], sampled, named.get("action_masks"))
        # The likelihood that goes into the buffer is that of the sampled action.
        kept = (decision.actions == sampled).reshape(len(sampled), -1).all(-1)
        self._own.append((decision.own & kept).cpu().numpy())
        return decision.actions, *others

    def stored(self, sampled: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the action for the environments and the one for the buffer, in the place of an off-policy sample.

        Args:
            sampled: (environments, axes), as the buffer stores it; (environments,) if discrete.
        """
        policy = self._model.policy
        decision = self._decided(tensors(policy, self._model._last_obs), torch.as_tensor(sampled, device=policy.device))
        stored = decision.actions.cpu().numpy()
        if isinstance(self._model.action_space, Box):
            return policy.unscale_action(stored), stored
        return stored, stored

    @torch.no_grad()
    def _decided(self, observations: Any, sampled: torch.Tensor, masks: NDArray[np.bool_] | None = None) -> Decision:
        """Ask the methods; actions come back in the shape and kind of the sampled ones, which stay as they are."""
        starts = torch.as_tensor(np.asarray(self._model._last_episode_starts, dtype=bool), device=sampled.device)
        allowed = None if masks is None else torch.as_tensor(masks, dtype=torch.bool, device=sampled.device)
        seen = {"masks": allowed, "memory": self._recollection.now}
        found = self._composition.act(Decision(observations, sampled.clone(), starts, torch.ones_like(starts), **seen))
        actions = found.actions.reshape(sampled.shape).to(sampled)
        return Decision(observations, actions, starts, found.own.to(starts))


def mark_acting(net: Net) -> list[RemovableHandle]:
    """Tell the network when it chooses the actions of a rollout.

    On-policy algorithms call the policy itself only there; evaluation goes through `predict`, training
    through `evaluate_actions`.
    """

    def begin(module: Any, args: Any) -> None:
        net.acting.on = True

    def end(module: Any, args: Any, output: Tensor) -> None:
        net.acting.on = False

    return [
        net.module.register_forward_pre_hook(begin),
        net.module.register_forward_hook(end, always_call=True),
    ]
