"""The updates of SAC, TD3, DDPG and DQN without autograd: what runs in the place of SB3's `train`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.engine.arrays.closed_weights import is_closed
from acclimate.engine.arrays.flat import Flat
from acclimate.engine.arrays.side import features
from acclimate.engine.arrays.split import Split
from acclimate.engine.learning.prior import PlainPrior, Prior
from acclimate.engine.learning.recall import STEP, Recall, Watch
from acclimate.engine.learning.replay import Replay, Sample
from acclimate.engine.learning.trained import Trained
from acclimate.engine.off_policy.critics import Critics
from acclimate.nets.experience import Batch
from acclimate.nets.outputs import Outputs, Values
from acclimate.nets.surgery import Computing
from acclimate.tuning.tuner import Tuner

Array = NDArray[Any]
Logged = dict[str, list[float]]


class OffPolicyUpdate(ABC):
    """Updates a model in place from its replay buffer, with the methods of a tuner."""

    step: ClassVar[int] = STEP
    """How many rows its passes run at once is a multiple of this, where they are not a whole minibatch."""

    def __init__(self, model: Any, tuner: Tuner, trained: dict[str, Trained]) -> None:
        """Hold what every algorithm has.

        Args:
            model: the algorithm.
            tuner: its methods.
            trained: the networks with an optimizer, by name.
        """
        self.model, self.tuner, self.trained = model, tuner, trained
        self.dtype = next(iter(trained.values())).flat.values.dtype
        self.replay = Replay(model, tuner.composition, self.read)
        self._sample: Sample | None = None
        for network in trained.values():
            for role, prior in network.penalties.priors_wanted.items():
                if isinstance(prior, PlainPrior):
                    network.penalties.prior_of[role] = self._kept(prior)
        computing = [part for part in model.policy.modules() if isinstance(part, Computing)]
        self._moded = not all(map(is_closed, computing))
        self._watched = list(model.policy.parameters()) if computing else []
        self._computed: Any = None

    def read(self, observations: Array) -> Array:
        """Return observations as the first layers read them, (rows, numbers)."""
        return features(observations, self.dtype)

    def recalled(self, run: Callable[[Array], Array], state: Callable[[], Any]) -> Recall:
        """Return a pass whose outputs are kept for each stored step; see `Recall`."""
        self.replay.recalls.append(Recall(run, state, self.dtype, self.step))
        return self.replay.recalls[-1]

    def recall(self, side: Split, flat: Flat, slot: int = 0) -> Recall:
        """Return the pass through the frozen first layers of a side, whose outputs are kept.

        Args:
            side: the layers.
            flat: where their parameters live.
            slot: of the pass.
        """
        watch = Watch(())

        def state() -> Any:
            nonlocal watch
            frozen = side.frozen
            if not frozen:
                return None
            if not watch.watches(frozen):
                watch = Watch(frozen)
            return side.units, side.cut, flat.moves, watch.state

        return self.recalled(lambda x: side.lower(x, slot), state)

    def _kept(self, prior: PlainPrior) -> Prior:
        """Return a prior whose outputs are kept for each stored step."""
        watch = Watch(prior.parameters)
        recall = self.recalled(prior.run, lambda: (prior.width, watch.state))

        def outputs(batch: Batch) -> Outputs:
            sample = self._sample
            places = sample.places if sample is not None and sample.batch is batch else None
            return prior.outputs(recall(places, prior.read(batch)))

        return outputs

    def train(self, gradient_steps: int, batch_size: int) -> None:
        """Update as often as asked, and log, as the algorithm's own `train` does."""
        model, logged = self.model, defaultdict(list)
        model._update_learning_rate(self.optimizers)
        self.ready(training=True)
        self.look()
        for step in range(gradient_steps):
            self._sample = sample = self.replay.draw(batch_size)
            self.tuner.signals.batch = sample.batch
            self.update(sample, step, logged)
        # The weights have been computed since the last step; nobody else has written what they come from.
        self._computed = self._written
        for trained in self.trained.values():
            trained.end()
        self.count(gradient_steps)
        model.logger.record("train/n_updates", model._n_updates, exclude="tensorboard")
        for name, values in logged.items():
            model.logger.record(f"train/{name}", np.mean(values) if len(values) > 1 else values[0])

    def ready(self, *, training: bool) -> None:
        """Take back parameters and moments where somebody has given them other storage since.

        Args:
            training: whether updates come, or steps of the environments. Only weights that are computed may differ
                between the two, and setting the mode of all modules twice a step is slow.
        """
        if self._moded or self.model.policy.training:
            self.model.policy.set_training_mode(training)
        for trained in self.trained.values():
            trained.hold()
            if training:
                trained.begin()
        if self._computed is not None and self._computed == self._written:
            return
        if training:
            self.compute()
        else:
            self.acting.compute()

    @property
    def _written(self) -> Any:
        """Something that is another one after somebody has written the parameters; None where no look can tell.

        What writes to `.data`, or past torch, is missed until the weights are computed after the next update.
        """
        if self._moded:
            return None
        return [t.flat.moves for t in self.trained.values()], [p._version for p in self._watched]

    @property
    @abstractmethod
    def optimizers(self) -> Any:
        """The optimizers whose learning rate follows the model's schedule."""

    @property
    @abstractmethod
    def acting(self) -> Any:
        """What the policy acts by; it has `compute`."""

    @abstractmethod
    def act(self, x: Array) -> Array:
        """Return what the policy does on observations as its first layer reads them, as it does it in training."""

    @abstractmethod
    def compute(self) -> None:
        """Bring all weights up to date."""

    @abstractmethod
    def look(self) -> None:
        """See which layers are trained now."""

    @abstractmethod
    def update(self, sample: Sample, step: int, logged: Logged) -> None:
        """Update once.

        Args:
            sample: the minibatch.
            step: how many updates of this call went before.
            logged: what is logged joins the lists in here.
        """

    def count(self, gradient_steps: int) -> None:
        """Count updates as SB3 does."""
        self.model._n_updates += gradient_steps


class WithCritics(OffPolicyUpdate):
    """What SAC, TD3 and DDPG have in common: critics of states and actions that learn from their targets."""

    def __init__(self, model: Any, tuner: Tuner, trained: dict[str, Trained]) -> None:
        """Take the critics apart; `trained` has `actor` and `critic`."""
        super().__init__(model, tuner, trained)
        flat, followed = trained["critic"].flat, trained["critic"].target
        if followed is None:
            raise TypeError("critics without targets")
        self.critics = Critics(model.critic, flat)
        self.targets = Critics(model.critic_target, followed)
        # What depends on the policy's own actions cannot be kept: only what the critics make of stored ones.
        self.seen = [self.recall(side, flat) for side in self.critics.sides]

    @property
    def optimizers(self) -> Any:
        """Those of actor and critic."""
        return [self.model.actor.optimizer, self.model.critic.optimizer]

    def wanted(self, sample: Sample, after: Array) -> Array:
        """Return what the critics should say of a minibatch, given what comes after it is worth, (rows,)."""
        return sample.rewards + sample.going * self.model.gamma * after

    def least(self, observations: Array, actions: Array) -> Array:
        """Return the least of what the targets say, (rows,)."""
        return self.targets.forward(self.targets.read(observations, actions)).min(axis=1)

    def learn_values(self, sample: Sample, wanted: Array, weight: float) -> float:
        """Step the critics towards what they should say, and return the sum of their mean squared errors.

        Args:
            sample: the minibatch.
            wanted: (rows,), what they should say of it.
            weight: of that sum in the loss.
        """
        trained, rows = self.trained["critic"], len(wanted)
        x = self.critics.read(sample.observations, sample.actions)
        seen = [recall(sample.places, x) for recall in self.seen]
        values = self.critics.upper(seen)
        apart = values - wanted[:, None]
        loss = float(np.square(apart).mean(axis=0).sum())
        apart *= 2.0 * weight / rows
        trained.open(sample.batch)
        if trained.penalties.at_outputs_now:
            leaf = torch.from_numpy(values).clone().requires_grad_()
            more = trained.penalties.at_outputs("critic", Values(leaf), leaf)
            if more is not None:
                apart += more
        self.critics.back(seen, apart.astype(self.dtype, copy=False))
        trained.penalties.at_parameters(sample.batch)
        trained.step()
        self.critics.compute()
        return loss

    def at_actions(self, sample: Sample, actions: Array, only: int | None = None) -> tuple[Array, float]:
        """Return the gradient at the actions of the negative mean of their least value, and that mean.

        Args:
            sample: the minibatch.
            actions: (rows, axes), other ones than the minibatch's.
            only: how many critics are asked; all by default.
        """
        values = self.critics.forward(self.critics.read(sample.observations, actions), only)
        gradient = self.critics.at_actions(values, -1.0 / len(values), actions.shape[1])
        return gradient, float(values.min(axis=1).mean())
