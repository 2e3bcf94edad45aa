"""SAC's update (Haarnoja et al. 2018, arXiv:1812.05905), in the form that SB3 computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from acclimate.engine.arrays.flat import Flat
from acclimate.engine.learning.replay import Sample
from acclimate.engine.learning.trained import Trained
from acclimate.engine.off_policy.squashed import SquashedActor
from acclimate.engine.off_policy.temperature import Temperature
from acclimate.engine.off_policy.update import Logged, WithCritics
from acclimate.tuning.tuner import Tuner

Array = NDArray[Any]


class SACUpdate(WithCritics):
    """Updates a SAC model."""

    def __init__(self, model: Any, tuner: Tuner) -> None:
        """Move the parameters into arrays; `cannot` has said that all of this can be run."""
        actor = Trained(model.actor, None, model.actor.optimizer, tuner)
        critic = Trained(model.critic, model.critic_target, model.critic.optimizer, tuner)
        super().__init__(model, tuner, {"actor": actor, "critic": critic})
        self.actor = SquashedActor(model.actor, actor.flat)
        self.temperature = Temperature(model)
        self.before, self.after = (self._latent(actor.flat, slot) for slot in range(2))

    @property
    def optimizers(self) -> Any:
        """Those of actor, critic and entropy coefficient."""
        own = self.model.ent_coef_optimizer
        return super().optimizers if own is None else [*super().optimizers, own]

    @property
    def acting(self) -> SquashedActor:
        """The actor."""
        return self.actor

    def act(self, x: Array) -> Array:
        """Return actions in [-1, 1], drawn by torch's generator."""
        return self.actor.sample(x)

    def ready(self, *, training: bool) -> None:
        """Take back parameters and moments where somebody has given them other storage since."""
        super().ready(training=training)
        self.temperature.ready()

    def compute(self) -> None:
        """Bring all weights up to date."""
        for part in (self.actor, self.critics, self.targets):
            part.compute()

    def look(self) -> None:
        """See which layers are trained now."""
        self.actor.look()
        self.critics.look()

    def update(self, sample: Sample, step: int, logged: Logged) -> None:
        """Update temperature, critics, actor and targets."""
        actions, likelihood = self.actor.draw(self.before(sample.places, sample.observations))
        coefficient = self.temperature.step(likelihood, logged)
        after, after_likelihood = self.actor.draw(self.after(sample.places, sample.next_observations), slot=1)
        worth = self.least(sample.next_observations, after) - coefficient * after_likelihood
        error = self.learn_values(sample, self.wanted(sample, worth), 0.5)
        logged["critic_loss"].append(0.5 * error)
        gradient, value = self.at_actions(sample, actions)
        logged["actor_loss"].append(coefficient * float(likelihood.mean()) - value)
        self._learn_actions(sample, gradient, coefficient)
        if step % self.model.target_update_interval == 0:
            self.trained["critic"].follow(self.model.tau)
            self.targets.compute()
        self.temperature.end()

    def _latent(self, flat: Flat, slot: int) -> Callable[[Array | None, Array], Array]:
        """Return the pass through the frozen first layers of the actor."""
        return self.recall(self.actor.trunk, flat, slot) if self.actor.trunk is not None else lambda places, x: x

    def _learn_actions(self, sample: Sample, gradient: Array, coefficient: float) -> None:
        trained, at_leaf = self.trained["actor"], None
        trained.open(sample.batch)
        if trained.penalties.at_outputs_now:
            outputs, leaf = self.actor.outputs()
            at_leaf = trained.penalties.at_outputs("actor", outputs, leaf)
        self.actor.backward(gradient, coefficient / len(gradient), at_leaf)
        trained.penalties.at_parameters(sample.batch)
        trained.step()
        self.actor.compute()
