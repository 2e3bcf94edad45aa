"""TD3's update (Fujimoto, van Hoof and Meger 2018, arXiv:1802.09477), in the form that SB3 computes; DDPG is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.engine.arrays.perceptron import dense_layers
from acclimate.engine.arrays.split import Resting, Split
from acclimate.engine.learning.replay import Sample
from acclimate.engine.learning.trained import Trained
from acclimate.engine.off_policy.update import Logged, WithCritics
from acclimate.nets.outputs import Point
from acclimate.tuning.tuner import Tuner

Array = NDArray[Any]


class TD3Update(WithCritics):
    """Updates a TD3 or DDPG model."""

    def __init__(self, model: Any, tuner: Tuner) -> None:
        """Move the parameters into arrays; `cannot` has said that all of this can be run."""
        actor = Trained(model.actor, model.actor_target, model.actor.optimizer, tuner)
        critic = Trained(model.critic, model.critic_target, model.critic.optimizer, tuner)
        super().__init__(model, tuner, {"actor": actor, "critic": critic})
        self.actor = Split(dense_layers(list(model.actor.mu)), actor.flat)  # type: ignore[arg-type]
        self.before = self.recall(self.actor, actor.flat)
        if actor.following is None or actor.target is None:
            raise TypeError("an actor without a target")
        layers: Any = dense_layers(list(model.actor_target.mu))
        self.actor_target = Resting(layers, actor.target, actor.following.rests)
        self.after = self.recall(self.actor_target, actor.target)

    @property
    def acting(self) -> Split:
        """The actor."""
        return self.actor

    def act(self, x: Array) -> Array:
        """Return actions in [-1, 1]."""
        return self.actor.forward(x).copy()

    def compute(self) -> None:
        """Bring all weights up to date."""
        for part in (self.actor, self.critics, self.targets, self.actor_target):
            part.compute()

    def look(self) -> None:
        """See which layers are trained now."""
        for part in (self.actor, self.critics, self.actor_target):
            part.look()

    def update(self, sample: Sample, step: int, logged: Logged) -> None:
        """Update the critics, and each time that the delay is over the actor and the targets."""
        model = self.model
        model._n_updates += 1
        beyond = self.after(sample.places, sample.next_observations)
        after = self.actor_target.upper(beyond) + self._noise(sample.actions)
        np.clip(after, -1.0, 1.0, out=after)
        wanted = self.wanted(sample, self.least(sample.next_observations, after))
        logged["critic_loss"].append(self.learn_values(sample, wanted, 1.0))
        if model._n_updates % model.policy_delay == 0:
            logged["actor_loss"].append(self._learn_actions(sample))
            for trained in self.trained.values():
                trained.follow(model.tau)
            self.targets.compute()
            self.actor_target.compute()
            self.actor_target.look()

    def count(self, gradient_steps: int) -> None:
        """Do nothing: each update has counted itself, because the delay depends on it."""

    def _noise(self, actions: Array) -> Array:
        """Return the clipped noise of the target policy, drawn as SB3 does."""
        model = self.model
        noise = torch.empty(actions.shape, dtype=torch.from_numpy(actions).dtype).normal_(0, model.target_policy_noise)
        return noise.clamp_(-model.target_noise_clip, model.target_noise_clip).numpy()

    def _learn_actions(self, sample: Sample) -> float:
        trained = self.trained["actor"]
        seen = self.before(sample.places, sample.observations)
        actions = self.actor.upper(seen)
        gradient, value = self.at_actions(sample, actions, only=1)
        trained.open(sample.batch)
        if trained.penalties.at_outputs_now:
            leaf = torch.from_numpy(actions).clone().requires_grad_()
            more = trained.penalties.at_outputs("actor", Point(leaf), leaf)
            if more is not None:
                gradient += more
        self.actor.back(seen, gradient)
        trained.penalties.at_parameters(sample.batch)
        trained.step()
        self.actor.compute()
        return -value
