"""DQN's update (Mnih et al. 2015) through its own modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from acclimate.engine.learning.recall import Watch
from acclimate.engine.learning.replay import Sample
from acclimate.engine.learning.trained import Trained
from acclimate.engine.modules.extractor import Observed, fixed, frozen
from acclimate.engine.modules.update import AutogradUpdate, column
from acclimate.engine.off_policy.dqn import Moves
from acclimate.engine.off_policy.update import Logged
from acclimate.tuning.tuner import Tuner

Array = NDArray[Any]


class AutogradDQN(AutogradUpdate):
    """Updates a DQN model; SB3 itself moves the target network as steps are taken."""

    def __init__(self, model: Any, tuner: Tuner) -> None:
        """Move the parameters into one array; `cannot` has said that all of this can be run."""
        super().__init__(model, tuner, {"q": Trained(model.q_net, model.q_net_target, model.policy.optimizer, tuner)})
        moves, target = Moves(model), Watch(model.q_net_target.parameters())
        steady = fixed(model.q_net_target)
        self._best = self.recalled(self._values, lambda: (1, moves.made, target.state) if steady else None)
        self._features = self.extractor(model.q_net, self.trained["q"].flat, frozen)

    @property
    def optimizers(self) -> Any:
        """The one there is."""
        return self.model.policy.optimizer

    @torch.no_grad()
    def act(self, x: Array) -> Array:
        """Return the actions of highest value, (rows,)."""
        return self.model.q_net(self.seen(x)).argmax(dim=1).numpy()

    @torch.no_grad()
    def _values(self, x: Array) -> Array:
        """Return the highest value that the target network gives each row, (rows, 1)."""
        return self.model.q_net_target(self.seen(x)).max(dim=1, keepdim=True).values.numpy()

    def _now(self, seen: Observed) -> Tensor:
        """Return the values of all actions, (rows, actions)."""
        net = self.model.q_net
        return net.q_net(self._features(seen)) if self._features.on else net(seen.tensor)

    def update(self, sample: Sample, step: int, logged: Logged) -> None:
        """Update the network."""
        best = self._best(sample.places, sample.next_observations)[:, 0]
        wanted = sample.rewards + sample.going * self.model.gamma * best
        values = self._now(self.before(sample)).gather(1, torch.from_numpy(sample.actions.astype(np.int64)))
        loss = F.smooth_l1_loss(values, column(wanted).to(values.dtype))
        logged["loss"].append(loss.item())
        self.learn("q", loss, sample, self.model.max_grad_norm)
