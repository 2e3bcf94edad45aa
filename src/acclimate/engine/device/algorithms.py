"""The updates of SAC (arXiv:1812.05905), TD3 (arXiv:1802.09477), DDPG and DQN (Mnih et al. 2015) in SB3's form."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import torch
from stable_baselines3 import DDPG, DQN, SAC, TD3
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from acclimate.engine.device.captured import Recorder
from acclimate.engine.device.learner import steps_of
from acclimate.engine.device.off_policy import OffPolicy, follow, least
from acclimate.tuning.tuner import Tuner


class Temperature:
    """The optimizer of SAC's entropy coefficient, which is none of the tuner's."""

    def __init__(self, model: Any) -> None:
        self._own = model.log_ent_coef
        self.steps = steps_of(model.ent_coef_optimizer, self._own.device)

    def learn(self, loss: Tensor, stepped: list[Any]) -> None:
        """Step along the gradient of a loss."""
        (self._own.grad,) = torch.autograd.grad(loss, [self._own])
        self.steps.step([self._own])
        stepped.append((self, []))

    def counted(self, shown: Any) -> None:
        """Note that an update has taken its step."""
        self.steps.counted([self._own])


class DeviceSAC(OffPolicy):
    """Updates a SAC model."""

    hyperparameters = (*OffPolicy.hyperparameters, "ent_coef", "target_entropy", "log_ent_coef")

    def __init__(self, model: Any, tuner: Tuner, recorder: Recorder | None = None) -> None:
        """Prepare; see `DeviceUpdate`."""
        super().__init__(model, tuner, [model.actor.optimizer, model.critic.optimizer], recorder)
        self._temperature = None if model.ent_coef_optimizer is None else Temperature(model)

    @property
    def scheduled(self) -> list[Any]:
        """Those of actor, critic and entropy coefficient."""
        own = self.model.ent_coef_optimizer
        return super().scheduled if own is None else [*super().scheduled, own]

    @property
    def key(self) -> Any:
        """See `DeviceUpdate`; the temperature's optimizer is none of the tuner's."""
        return super().key, self._temperature and self._temperature.steps.key

    @property
    def tensors(self) -> list[Tensor]:
        """See `DeviceUpdate`."""
        own = self._temperature
        return super().tensors if own is None else [*super().tensors, self.model.log_ent_coef, *own.steps.tensors]

    def begin(self, inputs: Any) -> None:
        """Begin updates."""
        if self._temperature is not None:
            self._temperature.steps.begin()
        super().begin(inputs)

    def end(self) -> None:
        """Bring what the optimizers keep up to date."""
        super().end()
        if self._temperature is not None:
            self._temperature.steps.end()

    def kind(self, step: int) -> bool:
        """Whether the targets move."""
        return step % self.model.target_update_interval == 0

    def names(self, kind: Hashable) -> tuple[str, ...]:
        """Return what is logged."""
        names = ("ent_coef", "actor_loss", "critic_loss")
        return names if self._temperature is None else (*names, "ent_coef_loss")

    def _coefficient(self, likelihood: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the weight of the entropy, and learn it where it is learnt; its loss comes in a list, or none does."""
        model = self.model
        if self._temperature is None:
            return model.ent_coef_tensor, []
        # As it is before its own step.
        coefficient = torch.exp(model.log_ent_coef.detach())
        loss = -(model.log_ent_coef * (likelihood + model.target_entropy).detach()).mean()
        self._temperature.learn(loss, self.stepped)
        return coefficient, [loss]

    def update(self, kind: Hashable) -> None:
        """Update temperature, critics, actor and targets."""
        model, batch = self.model, self.minibatch.batch
        self.batch = batch
        actions, likelihood = model.actor.action_log_prob(batch.observations)
        likelihood = likelihood.reshape(-1, 1)
        coefficient, more = self._coefficient(likelihood)
        with torch.no_grad():
            next_actions, next_likelihood = model.actor.action_log_prob(batch.next_observations)
            after = least(model.critic_target(batch.next_observations, next_actions))
            after = after - coefficient * next_likelihood.reshape(-1, 1)
        self.learn_values(after, 0.5)
        loss = (coefficient * likelihood - least(model.critic(batch.observations, actions))).mean()
        self.figures = torch.stack([f.detach().reshape(()) for f in (coefficient, loss, self.critic_loss, *more)])
        self.learners[0].learn(loss, batch)
        if kind:
            follow(model.critic.parameters(), model.critic_target.parameters(), model.tau)
            follow(model.batch_norm_stats, model.batch_norm_stats_target, 1.0)


class DeviceTD3(OffPolicy):
    """Updates a TD3 or DDPG model."""

    hyperparameters = (*OffPolicy.hyperparameters, "target_policy_noise", "target_noise_clip")

    def __init__(self, model: Any, tuner: Tuner, recorder: Recorder | None = None) -> None:
        """Prepare; see `DeviceUpdate`."""
        super().__init__(model, tuner, [model.actor.optimizer, model.critic.optimizer], recorder)

    def kind(self, step: int) -> bool:
        """Whether the actor learns and the targets move."""
        self.model._n_updates += 1
        return self.model._n_updates % self.model.policy_delay == 0

    def count(self, gradient_steps: int) -> None:
        """Do nothing: each update has counted itself, because the delay depends on it."""

    def names(self, kind: Hashable) -> tuple[str, ...]:
        """Return what is logged."""
        return ("actor_loss", "critic_loss") if kind else ("critic_loss",)

    def update(self, kind: Hashable) -> None:
        """Update the critics, and each time that the delay is over the actor and the targets."""
        model, batch = self.model, self.minibatch.batch
        self.batch = batch
        with torch.no_grad():
            noise = torch.empty_like(batch.actions).normal_(0, model.target_policy_noise)  # type: ignore[arg-type]
            noise = noise.clamp(-model.target_noise_clip, model.target_noise_clip)
            actions = (model.actor_target(batch.next_observations) + noise).clamp(-1, 1)
            after = least(model.critic_target(batch.next_observations, actions))
        self.learn_values(after, 1.0)
        figures = [self.critic_loss]
        if kind:
            loss = -model.critic.q1_forward(batch.observations, model.actor(batch.observations)).mean()
            self.learners[0].learn(loss, batch)
            follow(model.critic.parameters(), model.critic_target.parameters(), model.tau)
            follow(model.actor.parameters(), model.actor_target.parameters(), model.tau)
            follow(model.critic_batch_norm_stats, model.critic_batch_norm_stats_target, 1.0)
            follow(model.actor_batch_norm_stats, model.actor_batch_norm_stats_target, 1.0)
            figures = [loss, self.critic_loss]
        self.figures = torch.stack([f.detach() for f in figures])  # type: ignore[union-attr]


class DeviceDQN(OffPolicy):
    """Updates a DQN model; SB3 itself moves the target network as steps are taken."""

    hyperparameters = ("gamma", "max_grad_norm")

    def __init__(self, model: Any, tuner: Tuner, recorder: Recorder | None = None) -> None:
        """Prepare; see `DeviceUpdate`."""
        super().__init__(model, tuner, [model.policy.optimizer], recorder)

    @property
    def scheduled(self) -> Any:
        """The one there is."""
        return self.model.policy.optimizer

    def names(self, kind: Hashable) -> tuple[str, ...]:
        """Return what is logged."""
        return ("loss",)

    def update(self, kind: Hashable) -> None:
        """Update the network."""
        model, batch = self.model, self.minibatch.batch
        self.batch = batch
        with torch.no_grad():
            best = model.q_net_target(batch.next_observations).max(dim=1, keepdim=True).values
            wanted = batch.rewards + (1 - batch.dones) * model.gamma * best  # type: ignore[operator]
        values = model.q_net(batch.observations).gather(1, batch.actions.long())  # type: ignore[union-attr]
        loss = F.smooth_l1_loss(values, wanted)
        self.figures = loss.detach().reshape(1)
        self.learners[0].learn(loss, batch, (list(model.policy.parameters()), model.max_grad_norm))


UPDATES: dict[type, type[Any]] = {SAC: DeviceSAC, TD3: DeviceTD3, DDPG: DeviceTD3, DQN: DeviceDQN}


def update_of(model: Any, stock: type, tuner: Tuner, recorder: Recorder | None = None) -> OffPolicy:
    """Return what updates a model of one of these classes."""
    return UPDATES[stock](model, tuner, recorder)
