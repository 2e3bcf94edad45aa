"""What the updates of SAC, TD3, DDPG and DQN on a device have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from acclimate.engine.arrays.operators import each
from acclimate.engine.device.captured import Host, Recorder
from acclimate.engine.device.inputs import Minibatch
from acclimate.engine.device.update import DeviceUpdate, read
from acclimate.engine.learning.replay import Replay
from acclimate.tuning.tuner import Tuner


class OffPolicy(DeviceUpdate):
    """Minibatches of a replay buffer, one transfer each."""

    hyperparameters = ("gamma", "tau")

    def __init__(self, model: Any, tuner: Tuner, optimizers: Iterable[Any], recorder: Recorder | None = None) -> None:
        """Prepare; see `DeviceUpdate`."""
        super().__init__(model, tuner, optimizers, recorder)
        self._replay = Replay(model, tuner.composition, lambda observations: observations)
        self._changes = any(True for _ in tuner.composition.each("minibatch"))
        self.minibatch = Minibatch(self.device)

    @property
    def scheduled(self) -> list[Any]:
        """The optimizers whose learning rate follows the model's schedule."""
        return [self.model.actor.optimizer, self.model.critic.optimizer]

    def train(self, gradient_steps: int, batch_size: int) -> None:
        """Update as often as asked, and log, as the algorithm's own `train` does."""
        model, logged = self.model, defaultdict(list)
        model.policy.set_training_mode(True)
        model._update_learning_rate(self.scheduled)
        for step in range(gradient_steps):
            self.draw(batch_size)
            if step == 0:
                self.begin(self.minibatch.key)
            kind = self.kind(step)
            figures, _ = self.runner(kind)
            logged[self.names(kind)].append(figures)
        self.end()
        self.count(gradient_steps)
        model.logger.record("train/n_updates", model._n_updates, exclude="tensorboard")
        values = defaultdict(list)
        for names, figures in logged.items():
            for name, found in zip(names, read(figures).T, strict=True):
                values[name] += found.tolist()
        for name, found in values.items():
            model.logger.record(f"train/{name}", np.mean(found))

    def draw(self, rows: int) -> None:
        """Take a minibatch to the device."""
        model, batch = self.model, self.minibatch
        drawn, _ = self._replay.rows(model.replay_buffer, rows, model._vec_normalize_env)
        batch.load(drawn)
        if self._changes:
            batch.change(self.tuner.composition.minibatch(batch.batch))

    def kind(self, step: int) -> Hashable:
        """Return what kind of update comes now; `step` updates of this call went before."""
        return None

    def body(self, kind: Hashable) -> Iterator[Host]:
        """Update once; the host has nothing to look at. See `DeviceUpdate`."""
        self.update(kind)
        yield from ()

    @abstractmethod
    def update(self, kind: Hashable) -> None:
        """Update once from `minibatch`."""

    @abstractmethod
    def names(self, kind: Hashable) -> tuple[str, ...]:
        """Return what the figures of an update are."""

    def count(self, gradient_steps: int) -> None:
        """Count updates as SB3 does."""
        self.model._n_updates += gradient_steps

    def learn_values(self, after: Tensor, weight: float) -> None:
        """Step the critics towards what follows from the worth of what comes after, (rows, 1)."""
        model, batch = self.model, self.batch
        with torch.no_grad():
            wanted = batch.rewards + (1 - batch.dones) * model.gamma * after  # type: ignore[operator]
        values = model.critic(batch.observations, batch.actions)
        self.critic_loss = weight * sum(F.mse_loss(value, wanted) for value in values)
        self.learners[1].learn(self.critic_loss, batch)  # type: ignore[arg-type]


@torch.no_grad()
def follow(parameters: Iterable[Tensor], targets: Iterable[Tensor], tau: float) -> None:
    """Move targets by a share of the way, in the two passes of SB3's `polyak_update`."""
    ours, theirs = [p.detach() for p in parameters], [p.detach() for p in targets]
    if theirs:
        each("mul_", theirs, 1 - tau)
        each("add_", theirs, ours, alpha=tau)


def least(values: tuple[Tensor, ...]) -> Tensor:
    """Return the least of what critics say, (rows, 1)."""
    return torch.cat(values, dim=1).min(dim=1, keepdim=True).values
