"""DQN's update (Mnih et al. 2015) in the form that SB3 computes: a target network, and Huber's loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.engine.mlp import dense_layers
from acclimate.engine.off_policy import Logged, OffPolicyUpdate
from acclimate.engine.replay import Sample
from acclimate.engine.side import Side
from acclimate.engine.trained import Trained
from acclimate.outputs import ActionValues
from acclimate.tuner import Tuner

Array = NDArray[Any]


class DQNUpdate(OffPolicyUpdate):
    """Updates a DQN model; SB3 itself moves the target network as steps are taken."""

    def __init__(self, model: Any, tuner: Tuner) -> None:
        """Move the parameters into arrays; `cannot` has said that all of this can be run."""
        q = Trained(model.q_net, model.q_net_target, model.policy.optimizer, tuner)
        super().__init__(model, tuner, {"q": q})
        self.q = Side(dense_layers(list(model.q_net.q_net)), q.flat)  # type: ignore[arg-type]
        self.target = Side(dense_layers(list(model.q_net_target.q_net)), q.target)  # type: ignore[arg-type]

    @property
    def optimizers(self) -> Any:
        """The one there is."""
        return self.model.policy.optimizer

    @property
    def acting(self) -> Side:
        """The network."""
        return self.q

    def act(self, x: Array) -> Array:
        """Return the actions of highest value, (rows,)."""
        return self.q.forward(x).argmax(axis=1)

    def compute(self) -> None:
        """Bring all weights up to date."""
        self.q.compute()
        self.target.compute()

    def look(self) -> None:
        """See which layers are trained now."""
        self.q.look()

    def update(self, sample: Sample, step: int, logged: Logged) -> None:
        """Update the network."""
        trained, rows = self.trained["q"], len(sample.rewards)
        best = self.target.forward(sample.next_observations).max(axis=1)
        wanted = sample.rewards + sample.going * self.model.gamma * best
        values = self.q.forward(sample.observations)
        place = np.arange(rows), sample.actions.reshape(-1)
        apart = values[place] - wanted
        size = np.abs(apart)
        logged["loss"].append(float(np.where(size < 1.0, 0.5 * size * size, size - 0.5).mean()))
        gradient = np.zeros_like(values)
        gradient[place] = np.clip(apart, -1.0, 1.0) / rows
        trained.open(sample.batch)
        if trained.penalties.at_outputs_now:
            leaf = torch.from_numpy(values).clone().requires_grad_()
            more = trained.penalties.at_outputs("q", ActionValues(leaf), leaf)
            if more is not None:
                gradient += more
        self.q.backward(sample.observations, gradient)
        trained.penalties.at_parameters(sample.batch)
        trained.clip(self.model.max_grad_norm)
        trained.step()
        self.q.compute()
