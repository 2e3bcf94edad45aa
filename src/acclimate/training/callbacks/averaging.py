"""Average the weights over the last updates: the agent that is measured and kept, not the one that explores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback

from acclimate.nets.alike import check_tensors
from acclimate.nets.copies import copied, swap
from acclimate.sb3.counters import updates_of

RAMP = 10
"""After as many updates the weight of the past is one half; it grows until it is `decay`."""


class Averaging(BaseCallback):
    """Keep an exponential moving average of the policy's weights, one step of it for each rollout's update.

    The iterates of policy gradient wander around a good policy; their average is steadier than the last of them
    (Polyak and Juditsky 1992; Izmailov et al. 2018, arXiv:1803.05407). Training itself is not touched.
    """

    def __init__(self, decay: float) -> None:
        """Prepare.

        Args:
            decay: Weight of the past once the average is under way. Higher averages over more updates and lags more.
        """
        super().__init__()
        self.decay = decay
        self.average: dict[str, torch.Tensor] = {}
        self.taken = 0
        """Updates that the average holds."""
        self._seen: int | None = None

    def _on_training_start(self) -> None:
        if not self.average:
            self.hold()

    def _on_rollout_start(self) -> None:
        self.update()

    def _on_step(self) -> bool:
        return True

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the policy act by the average for a while; the average is not at hand meanwhile."""
        swap(self.model.policy, self.average)
        try:
            yield
        finally:
            swap(self.model.policy, self.average)

    def adopt(self) -> None:
        """Let the policy be the average from now on."""
        self.model.policy.load_state_dict(self.average, strict=True)

    def hold(self) -> None:
        """Take the weights as they are for the average."""
        self.average = copied(self.model.policy)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {"weights": self.average, "taken": self.taken}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken.

        Raises:
            ValueError: It is of another policy.
        """
        if state["weights"]:  # a run that had ended when it was resumed took none
            check_tensors(state["weights"], self.model.policy.state_dict(), "average")
        if type(state["taken"]) is not int or state["taken"] < 0:
            raise ValueError("the average holds no number of updates")
        self.average, self.taken = state["weights"], state["taken"]

    def update(self) -> None:
        """Take in the weights, if an update has changed them since the last time."""
        updates = updates_of(self.model)
        if self._seen in (None, updates):
            self._seen = updates
            return
        self._seen = updates
        self.taken += 1
        # Early on the policy moves fast: a long average would lag behind and hold on to the prior.
        decay = min(self.decay, self.taken / (self.taken + RAMP))
        moved: set[int] = set()
        for name, value in self.model.policy.state_dict().items():
            held = self.average[name]
            if id(held) in moved:
                continue
            moved.add(id(held))
            if held.is_floating_point():
                held.lerp_(value.detach(), 1.0 - decay)
            else:
                held.copy_(value)
