"""DQN's update (Mnih et al. 2015) in the form that SB3 computes: a target network, and Huber's loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.engine.arrays.perceptron import dense_layers
from acclimate.engine.arrays.side import Side
from acclimate.engine.arrays.split import Split
from acclimate.engine.learning.recall import Watch
from acclimate.engine.learning.replay import Sample
from acclimate.engine.learning.trained import Trained
from acclimate.engine.off_policy.update import Logged, OffPolicyUpdate
from acclimate.nets.outputs import ActionValues
from acclimate.tuning.tuner import Tuner

Array = NDArray[Any]


class DQNUpdate(OffPolicyUpdate):
    """Updates a DQN model; SB3 itself moves the target network as steps are taken."""

    def __init__(self, model: Any, tuner: Tuner) -> None:
        """Move the parameters into arrays; `cannot` has said that all of this can be run."""
        q = Trained(model.q_net, model.q_net_target, model.policy.optimizer, tuner)
        super().__init__(model, tuner, {"q": q})
        self.q = Split(dense_layers(list(model.q_net.q_net)), q.flat)  # type: ignore[arg-type]
        self.target = Side(dense_layers(list(model.q_net_target.q_net)), q.target)  # type: ignore[arg-type]
        self.features = self.recall(self.q, q.flat)
        moves, watch = Moves(model), Watch(model.q_net_target.parameters())
        # Between two of its moves, 10,000 steps by default, all of the target network is fixed.
        self.best = self.recalled(self._best, lambda: (1, moves.made, watch.state))

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

    def _best(self, x: Array) -> Array:
        """Return the highest value of each row, (rows, 1)."""
        return self.target.forward(x).max(axis=1, keepdims=True)

    def update(self, sample: Sample, step: int, logged: Logged) -> None:
        """Update the network."""
        trained, rows = self.trained["q"], len(sample.rewards)
        best = self.best(sample.places, sample.next_observations)[:, 0]
        wanted = sample.rewards + sample.going * self.model.gamma * best
        seen = self.features(sample.places, sample.observations)
        values = self.q.upper(seen)
        place = np.arange(rows), sample.actions.reshape(-1)
        apart = values[place] - wanted
        size = np.abs(apart)
        least = np.minimum(size, 1.0)
        # Huber's loss: half of the square up to 1, and straight on from there.
        logged["loss"].append(float(np.dot(least, size - 0.5 * least)) / rows)
        gradient = np.zeros_like(values)
        gradient[place] = np.copysign(least, apart) / rows
        trained.open(sample.batch)
        if trained.penalties.at_outputs_now:
            leaf = torch.from_numpy(values).clone().requires_grad_()
            more = trained.penalties.at_outputs("q", ActionValues(leaf), leaf)
            if more is not None:
                gradient += more
        self.q.back(seen, gradient)
        trained.penalties.at_parameters(sample.batch)
        trained.clip(self.model.max_grad_norm)
        trained.step()
        self.q.compute()


class Moves:
    """Counts the moves of a target network, which SB3 makes past torch's own counting."""

    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def made(self) -> int:
        """How many there were, given SB3's own count of steps."""
        return self._model._n_calls // max(self._model.target_update_interval // self._model.n_envs, 1)
