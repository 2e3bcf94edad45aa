"""The updates of SAC (arXiv:1812.05905), TD3 (arXiv:1802.09477) and DDPG through their own modules."""

from __future__ import annotations

import math
from typing import Any

import torch
from numpy.typing import NDArray
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from acclimate.engine.arrays.flat import Flat
from acclimate.engine.learning.replay import Sample
from acclimate.engine.learning.trained import Trained
from acclimate.engine.modules.extractor import Extractor, Observed, at_rest, frozen
from acclimate.engine.modules.update import AutogradUpdate, column
from acclimate.engine.off_policy.temperature import Temperature
from acclimate.engine.off_policy.update import Logged
from acclimate.tuning.tuner import Tuner

Array = NDArray[Any]

_HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)
_EPSILON = 1e-6
"""SB3's, which keeps the logarithm of what squashing leaves finite at the bounds."""


class AutogradCritics(AutogradUpdate):
    """What they have in common: critics of states and actions that learn from their targets."""

    def __init__(self, model: Any, tuner: Tuner, trained: dict[str, Trained]) -> None:
        """Hold what every algorithm has; `trained` has `actor` and `critic`."""
        super().__init__(model, tuner, trained)
        actor, critic = trained["actor"], trained["critic"]
        # The critics' features of a state serve its stored action and the one that the policy takes now.
        self.of_critic = self.extractor(model.critic, critic.flat, frozen)
        self.of_critic_target = self.extractor(model.critic_target, _followed(critic), at_rest(critic))
        self.of_actor = self.extractor(model.actor, actor.flat, frozen)

    def critics(self, critic: Any, extractor: Extractor, seen: Observed, actions: Tensor) -> tuple[Tensor, ...]:
        """Return what each of some critics says, (rows, 1)."""
        if not extractor.on:
            return critic(seen.tensor, actions)
        x = torch.cat([extractor(seen), actions], dim=1)
        return tuple(net(x) for net in critic.q_networks)

    @property
    def optimizers(self) -> Any:
        """Those of actor and critic."""
        return [self.model.actor.optimizer, self.model.critic.optimizer]

    def learn_values(self, sample: Sample, seen: Observed, after: Tensor, weight: float, logged: Logged) -> None:
        """Step the critics towards what follows from the worth of what comes after, (rows, 1).

        Args:
            sample: the minibatch.
            seen: its observations.
            after: what the next states are worth.
            weight: of the sum of their mean squared errors.
            logged: the loss joins it.
        """
        wanted = column(sample.rewards) + column(sample.going) * self.model.gamma * after
        values = self.critics(self.model.critic, self.of_critic, seen, torch.from_numpy(sample.actions))
        loss = weight * sum(F.mse_loss(value, wanted.to(value.dtype)) for value in values)
        logged["critic_loss"].append(loss.item())  # type: ignore[arg-type]
        self.learn("critic", loss, sample)  # type: ignore[arg-type]

    def least(self, values: tuple[Tensor, ...]) -> Tensor:
        """Return the least of what critics say, (rows, 1)."""
        return torch.cat(values, dim=1).min(dim=1, keepdim=True).values

    def follow(self, *pairs: tuple[Any, Any]) -> None:
        """Move all targets, and copy the running statistics that SB3 copies."""
        for trained in self.trained.values():
            trained.follow(self.model.tau)
        for theirs, ours in pairs:
            polyak_update(theirs, ours, 1.0)


class AutogradSAC(AutogradCritics):
    """Updates a SAC model."""

    def __init__(self, model: Any, tuner: Tuner) -> None:
        """Move the parameters into arrays; `cannot` has said that all of this can be run."""
        actor = Trained(model.actor, None, model.actor.optimizer, tuner)
        critic = Trained(model.critic, model.critic_target, model.critic.optimizer, tuner)
        super().__init__(model, tuner, {"actor": actor, "critic": critic})
        self._of_actor_after = self.extractor(model.actor, actor.flat, frozen)
        self._temperature = Temperature(model)

    @property
    def optimizers(self) -> Any:
        """Those of actor, critic and entropy coefficient."""
        own = self.model.ent_coef_optimizer
        return super().optimizers if own is None else [*super().optimizers, own]

    def ready(self, *, training: bool) -> None:
        """Take back parameters and moments where somebody has given them other storage since."""
        super().ready(training=training)
        self._temperature.ready()

    def _distribution(self, seen: Observed, extractor: Extractor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the spread before squashing, (rows, axes)."""
        actor = self.model.actor
        if not extractor.on:
            return actor.get_action_dist_params(seen.tensor)[:2]
        latent = actor.latent_pi(extractor(seen))
        return actor.mu(latent), actor.log_std(latent).clamp(LOG_STD_MIN, LOG_STD_MAX)

    def _drawn(self, seen: Observed, extractor: Extractor) -> tuple[Tensor, Tensor]:
        """Return actions in [-1, 1] and their log-likelihood, (rows, 1); see `squashed` for the formula."""
        mean, log_std = self._distribution(seen, extractor)
        noise = torch.randn(mean.shape, dtype=mean.dtype)
        actions = torch.tanh(mean + log_std.exp() * noise)
        of_noise = -0.5 * noise.square() - _HALF_LOG_TAU
        likelihood = of_noise - log_std - torch.log(1.0 - actions.square() + _EPSILON)
        return actions, likelihood.sum(dim=1, keepdim=True)

    @torch.no_grad()
    def act(self, x: Array) -> Array:
        """Return actions in [-1, 1], drawn by torch's generator."""
        mean, log_std, _ = self.model.actor.get_action_dist_params(self.seen(x))
        return torch.tanh(mean + log_std.exp() * torch.randn(mean.shape, dtype=mean.dtype)).numpy()

    def update(self, sample: Sample, step: int, logged: Logged) -> None:
        """Update temperature, critics, actor and targets."""
        model, seen = self.model, self.before(sample)
        actions, likelihood = self._drawn(seen, self.of_actor)
        coefficient = self._temperature.step(likelihood.detach().numpy()[:, 0], logged)
        with torch.no_grad():
            beyond = self.after(sample)
            next_actions, next_likelihood = self._drawn(beyond, self._of_actor_after)
            worth = self.critics(model.critic_target, self.of_critic_target, beyond, next_actions)
            after = self.least(worth) - coefficient * next_likelihood
        self.learn_values(sample, seen, after, 0.5, logged)
        values = self.critics(model.critic, self.of_critic, seen, actions)
        loss = (coefficient * likelihood - self.least(values)).mean()
        logged["actor_loss"].append(loss.item())
        self.learn("actor", loss, sample)
        if step % model.target_update_interval == 0:
            self.follow((model.batch_norm_stats, model.batch_norm_stats_target))
        self._temperature.end()


class AutogradTD3(AutogradCritics):
    """Updates a TD3 or DDPG model."""

    def __init__(self, model: Any, tuner: Tuner) -> None:
        """Move the parameters into arrays; `cannot` has said that all of this can be run."""
        actor = Trained(model.actor, model.actor_target, model.actor.optimizer, tuner)
        critic = Trained(model.critic, model.critic_target, model.critic.optimizer, tuner)
        super().__init__(model, tuner, {"actor": actor, "critic": critic})
        self._of_actor_target = self.extractor(model.actor_target, _followed(actor), at_rest(actor))

    @torch.no_grad()
    def act(self, x: Array) -> Array:
        """Return actions in [-1, 1]."""
        return self.model.actor(self.seen(x)).numpy()

    def _acts(self, actor: Any, extractor: Extractor, seen: Observed) -> Tensor:
        """Return what an actor does, (rows, axes)."""
        return actor.mu(extractor(seen)) if extractor.on else actor(seen.tensor)

    def _first(self, seen: Observed, actions: Tensor) -> Tensor:
        """Return what the first critic says, (rows, 1)."""
        critic = self.model.critic
        if not self.of_critic.on:
            return critic.q1_forward(seen.tensor, actions)
        return critic.q_networks[0](torch.cat([self.of_critic(seen), actions], dim=1))

    def count(self, gradient_steps: int) -> None:
        """Do nothing: each update has counted itself, because the delay depends on it."""

    def update(self, sample: Sample, step: int, logged: Logged) -> None:
        """Update the critics, and each time that the delay is over the actor and the targets."""
        model = self.model
        model._n_updates += 1
        with torch.no_grad():
            noise = torch.from_numpy(sample.actions).clone().normal_(0, model.target_policy_noise)
            noise = noise.clamp_(-model.target_noise_clip, model.target_noise_clip)
            beyond = self.after(sample)
            next_actions = (self._acts(model.actor_target, self._of_actor_target, beyond) + noise).clamp_(-1.0, 1.0)
            after = self.least(self.critics(model.critic_target, self.of_critic_target, beyond, next_actions))
        seen = self.before(sample)
        self.learn_values(sample, seen, after, 1.0, logged)
        if model._n_updates % model.policy_delay == 0:
            loss = -self._first(seen, self._acts(model.actor, self.of_actor, seen)).mean()
            logged["actor_loss"].append(loss.item())
            self.learn("actor", loss, sample)
            self.follow(
                (model.critic_batch_norm_stats, model.critic_batch_norm_stats_target),
                (model.actor_batch_norm_stats, model.actor_batch_norm_stats_target),
            )


def _followed(trained: Trained) -> Flat:
    """Return where the parameters of a target network live."""
    if trained.target is None:
        raise TypeError("a network without a target")
    return trained.target
