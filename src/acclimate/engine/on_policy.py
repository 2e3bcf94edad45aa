"""The updates of PPO and A2C without autograd: what runs in the place of SB3's `train`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.utils import explained_variance

from acclimate.engine.actor_critic import ActorCritic, refusal
from acclimate.engine.flat import Flat
from acclimate.engine.losses import AdvantageLoss, Slopes, Surrogate, standardised
from acclimate.engine.methods import Penalties, clip
from acclimate.engine.steps import flat_step
from acclimate.experience import Batch
from acclimate.outputs import Values
from acclimate.tuner import Tuner

Array = NDArray[Any]


@dataclass(frozen=True)
class Rows:
    """A rollout with its environments' steps one after the other, as SB3 lays it out for an update."""

    observations: Array
    features: Array
    actions: Array
    values: Array
    log_likelihood: Array
    advantages: Array
    returns: Array


def lay_out(buffer: RolloutBuffer, oracle: ActorCritic) -> Rows:
    """Return the rows of a full buffer."""

    def flat(array: Array) -> Array:
        # The buffer may have been laid out already, by whoever read it before.
        if buffer.generator_ready:
            return array
        return array.swapaxes(0, 1).reshape(array.shape[0] * array.shape[1], *array.shape[2:])

    observations = flat(buffer.observations)
    numbers = (flat(getattr(buffer, n)).reshape(-1) for n in ("values", "log_probs", "advantages", "returns"))
    return Rows(
        observations,
        oracle.features(observations),
        flat(buffer.actions),
        *(n.astype(oracle.dtype, copy=False) for n in numbers),
    )


class OnPolicyUpdate:
    """Updates a PPO or A2C model in place, with the methods of a tuner."""

    def __init__(self, model: PPO | A2C, tuner: Tuner) -> None:
        """Move the parameters into one array; `cannot` has said that all of this can be run."""
        self.model, self.tuner = model, tuner
        parameters = {id(p): p for p in [*model.policy.parameters(), *tuner.parameters]}
        self.flat = Flat(list(parameters.values()))
        self.oracle = ActorCritic(model.policy, self.flat)
        self.penalties = Penalties(tuner.composition, self.flat)
        steps = flat_step(model.policy.optimizer)
        if isinstance(steps, str):
            raise TypeError(steps)
        self.steps = steps(model.policy.optimizer, self.flat)
        (self._groups,) = tuner.adopted
        self._hooked = any(True for _ in tuner.composition.each("gradient", "after"))

    def train(self) -> None:
        """Update on the rollout buffer and log, as the algorithm's own `train` does."""
        model = self.model
        model.policy.set_training_mode(True)
        model._update_learning_rate(model.policy.optimizer)
        self.ready()
        self._begin()
        rows = lay_out(model.rollout_buffer, self.oracle)
        self.penalties.begin(Batch(torch.from_numpy(rows.observations), torch.from_numpy(rows.actions)))
        logged = self._ppo(rows) if isinstance(model, PPO) else self._a2c(rows)
        self.steps.end()
        self._log(logged)

    def ready(self) -> None:
        """Take the parameters back where somebody has given them other storage since."""
        if not self.flat.bound:
            self.flat.bind()

    def _begin(self) -> None:
        self.steps.begin()
        self.oracle.look()
        self._frozen = [self.flat.slices[p] for p in self.flat.parameters if not p.requires_grad]

    def _ppo(self, rows: Rows) -> dict[str, Any]:
        model = self.model
        remaining = model._current_progress_remaining
        clip_range = model.clip_range(remaining)
        value_clip = None if model.clip_range_vf is None else model.clip_range_vf(remaining)
        loss = Surrogate(clip_range, value_clip, model.ent_coef, model.vf_coef)
        logged: dict[str, list[float]] = defaultdict(list)
        going = True
        for _ in range(model.n_epochs):
            logged["approx_kl"] = []
            for index in minibatches(len(rows.values), model.batch_size):
                advantages = rows.advantages[index]
                if model.normalize_advantage:
                    advantages = standardised(advantages)

                def of(log_likelihood: Array, entropy: Array, values: Array, i: Array = index, a: Array = advantages):
                    return loss(
                        log_likelihood,
                        entropy,
                        values,
                        old_log_likelihood=rows.log_likelihood[i],
                        advantages=a,
                        old_values=rows.values[i],
                        returns=rows.returns[i],
                    )

                going = self._minibatch(rows, index, of, logged, model.target_kl)
                if not going:
                    break
            model._n_updates += 1
            if not going:
                break
        means: dict[str, Any] = {name: np.mean(values) for name, values in logged.items()}
        means["loss"] = logged["loss"][-1]
        means["clip_range"] = clip_range
        if value_clip is not None:
            means["clip_range_vf"] = value_clip
        return means

    def _a2c(self, rows: Rows) -> dict[str, Any]:
        model = self.model
        loss = AdvantageLoss(model.ent_coef, model.vf_coef)
        (index,) = minibatches(len(rows.values), None)
        advantages = rows.advantages[index]
        if model.normalize_advantage:
            advantages = standardised(advantages)
        logged: dict[str, list[float]] = defaultdict(list)
        self._minibatch(
            rows, index, lambda *out: loss(*out, advantages=advantages, returns=rows.returns[index]), logged, None
        )
        model._n_updates += 1
        return {name: values[-1] for name, values in logged.items()}

    def _minibatch(
        self, rows: Rows, index: Array, loss: Any, logged: dict[str, list[float]], target_kl: float | None
    ) -> bool:
        """Step on some rows; return whether the update goes on."""
        oracle, x, actions = self.oracle, rows.features[index], rows.actions[index]
        oracle.compute()
        out, values = oracle.actor.forward(x), oracle.critic.forward(x)
        log_likelihood, entropy = oracle.distribution.evaluate(out, actions)
        slopes, figures = loss(log_likelihood, entropy, values[:, 0])
        for name, value in figures.items():
            logged[name].append(value)
        if target_kl is not None and figures["approx_kl"] > 1.5 * target_kl:
            return False
        batch = Batch(torch.from_numpy(rows.observations[index]), torch.from_numpy(actions))
        self.tuner.signals.batch = batch
        self._gradient(x, out, values, slopes, index)
        self.penalties.at_parameters(batch)
        for place in self._frozen:
            self.flat.gradient[place] = 0.0
        clip(self.flat.gradient, self.model.max_grad_norm)
        self._step()
        return True

    def _gradient(self, x: Array, out: Array, values: Array, slopes: Slopes, index: Array) -> None:
        """Write the gradient of the loss and of the penalties on outputs into the flat array."""
        oracle, penalties = self.oracle, self.penalties
        self.flat.gradient.fill(0.0)
        penalties.open()
        at_out = oracle.distribution.backward(slopes.log_likelihood, slopes.entropy)
        at_value = slopes.value[:, None]
        if penalties.at_outputs_now:
            leaf = torch.from_numpy(out).clone().requires_grad_()
            more = penalties.at_outputs("actor", oracle.distribution.as_outputs(leaf), leaf, index)
            at_out = at_out if more is None else at_out + more
            leaf = torch.from_numpy(values).clone().requires_grad_()
            more = penalties.at_outputs("critic", Values(leaf), leaf, index)
            at_value = at_value if more is None else at_value + more
        oracle.actor.backward(x, at_out)
        oracle.critic.backward(x, at_value)

    def _step(self) -> None:
        if not self._hooked:
            if self._groups.due():
                self.flat.show_gradients()
                self._groups.show()
            self.tuner.signals.learning_rate = self._groups.learning_rate
            self.tuner.signals.updates += 1
            self.steps.step()
            return
        self.flat.show_gradients()
        self._groups.around(self._step_on_shown)

    def _step_on_shown(self) -> None:
        """Step by the gradients that the methods have left: one that was taken away is passed over."""
        self.flat.take_gradients()
        self.steps.step(frozenset(id(p) for p in self.flat.parameters if p.requires_grad and p.grad is None))

    def _log(self, figures: dict[str, Any]) -> None:
        model = self.model
        for name, value in figures.items():
            model.logger.record(f"train/{name}", value)
        buffer = model.rollout_buffer
        model.logger.record(
            "train/explained_variance", explained_variance(buffer.values.flatten(), buffer.returns.flatten())
        )
        if hasattr(model.policy, "log_std"):
            model.logger.record("train/std", float(model.policy.log_std.detach().exp().mean()))
        model.logger.record("train/n_updates", model._n_updates, exclude="tensorboard")


def minibatches(rows: int, size: int | None) -> Iterator[Array]:
    """Yield the indices of minibatches in the order that SB3 draws them."""
    order = np.random.permutation(rows)
    size = rows if size is None else size
    for begin in range(0, rows, size):
        yield order[begin : begin + size]


def cannot(model: Any, stock: type, tuner: Tuner) -> str | None:
    """Return why an agent with these methods is not trained here, None if it is.

    Args:
        model: the agent's model.
        stock: its class, without what the seam has made of it.
        tuner: the methods.
    """
    if stock not in (PPO, A2C):
        return f"the algorithm {stock.__name__}"
    if type(model.rollout_buffer) is not RolloutBuffer:
        return f"the buffer {type(model.rollout_buffer).__name__}"
    if model.use_sde:
        return "exploration that depends on the state (gSDE)"
    if (why := refusal(model.policy)) is not None:
        return why
    if any(True for _ in tuner.composition.each("act")):
        return "a method that decides what is done"
    steps = flat_step(model.policy.optimizer)
    return steps if isinstance(steps, str) else None
