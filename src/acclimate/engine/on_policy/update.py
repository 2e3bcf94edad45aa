"""The updates of PPO and A2C without autograd: what runs in the place of SB3's `train`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.utils import explained_variance

from acclimate.engine.arrays.flat import Flat
from acclimate.engine.learning import refusals
from acclimate.engine.learning.penalties import Penalties, clip
from acclimate.engine.learning.steps import flat_step
from acclimate.engine.on_policy.actor_critic import ActorCritic, refusal
from acclimate.engine.on_policy.losses import AdvantageLoss, Loss, Slopes, Surrogate, Weights, standardise
from acclimate.engine.on_policy.rows import Rows, lay_out, minibatches
from acclimate.nets.outputs import Values
from acclimate.nets.surgery import Computing
from acclimate.tuning.tuner import Tuner

Array = NDArray[Any]


class OnPolicyUpdate:
    """Updates a PPO or A2C model in place, with the methods of a tuner."""

    def __init__(self, model: PPO | A2C, tuner: Tuner, oracle: Callable[[Any, Flat], Any] = ActorCritic) -> None:
        """Move the parameters into one array; `cannot` has said that all of this can be run.

        Args:
            model: it is updated.
            tuner: its methods.
            oracle: makes what runs the policy.
        """
        self.model, self.tuner = model, tuner
        parameters = {id(p): p for p in [*model.policy.parameters(), *tuner.parameters]}
        self.flat = Flat(list(parameters.values()))
        self.oracle = oracle(model.policy, self.flat)
        self.penalties = Penalties(tuner.composition, self.flat)
        steps = flat_step(model.policy.optimizer)
        if isinstance(steps, str):
            raise TypeError(steps)
        self.steps = steps(model.policy.optimizer, self.flat)
        (self._groups,) = tuner.adopted
        self._hooked = any(True for _ in tuner.composition.each("gradient", "after"))
        self._moded = any(isinstance(module, Computing) for module in model.policy.modules())
        self._reads = self._hooked or bool(self.penalties)

    def train(self) -> None:
        """Update on the rollout buffer and log, as the algorithm's own `train` does."""
        model = self.model
        if self._moded:
            # Only weights that are computed may differ between training and acting; setting the mode of all is slow.
            model.policy.set_training_mode(True)
        model._update_learning_rate(model.policy.optimizer)
        self.ready()
        self._begin()
        rows = self._rows()
        self.penalties.begin(rows.all())
        logged = self._ppo(rows) if isinstance(model, PPO) else self._a2c(rows)
        self.steps.end()
        log(model, logged)

    def _rows(self) -> Rows:
        return lay_out(self.model.rollout_buffer, self.oracle)

    def _drawn(self, rows: Rows, size: int | None) -> tuple[Array, list[slice]]:
        """Draw the order of an epoch's rows, and return it with the minibatches that it is cut into."""
        return np.random.permutation(len(rows.values)), list(minibatches(len(rows.values), size))

    def ready(self) -> None:
        """Take the parameters back where somebody has given them other storage since."""
        if not self.flat.bound:
            self.flat.bind()

    def _begin(self) -> None:
        self.steps.begin()
        self.oracle.look(self.model.rollout_buffer.values.size)
        self._frozen = [self.flat.slices[p] for p in self.flat.parameters if not p.requires_grad]

    def _ppo(self, rows: Rows) -> dict[str, Any]:
        model = self.model
        remaining = model._current_progress_remaining
        clip_range = model.clip_range(remaining)
        value_clip = None if model.clip_range_vf is None else model.clip_range_vf(remaining)
        loss = Surrogate(Weights(model.ent_coef, model.vf_coef), clip_range, value_clip)
        for _ in range(model.n_epochs):
            going = self._epoch(rows, loss, model.batch_size, model.target_kl)
            model._n_updates += 1
            if not going:
                break
        figures = loss.figures()
        means: dict[str, Any] = {name: np.mean(values) for name, values in figures.items()}
        means["approx_kl"] = np.mean(figures["approx_kl"][-loss.minibatches_of_last_epoch() :])
        means["loss"] = figures["loss"][-1]
        means["clip_range"] = clip_range
        if value_clip is not None:
            means["clip_range_vf"] = value_clip
        return means

    def _a2c(self, rows: Rows) -> dict[str, Any]:
        model = self.model
        loss = AdvantageLoss(Weights(model.ent_coef, model.vf_coef))
        self._epoch(rows, loss, None, None)
        model._n_updates += 1
        return {name: values[-1] for name, values in loss.figures().items()}

    def _epoch(self, rows: Rows, loss: Loss, size: int | None, target_kl: float | None) -> bool:
        """Step on each minibatch; return whether the update goes on."""
        order, places = self._drawn(rows, size)
        epoch = rows.current(self.oracle).shuffled(order, self.oracle.distribution)
        loss.begin(epoch)
        for place in places:
            if self._hooked:
                # What runs around a step may write weights that are frozen.
                epoch = epoch.current(self.oracle)
            if self.model.normalize_advantage:
                standardise(epoch.advantages[place])
            if not self._minibatch(epoch, place, loss, target_kl):
                return False
        self._see(epoch, places[-1])
        return True

    def _see(self, epoch: Rows, place: slice) -> None:
        """Show a minibatch to the methods; most read none, or the last one of an update."""
        self.tuner.signals.batch = epoch.batch(place)

    def _minibatch(self, epoch: Rows, place: slice, loss: Loss, target_kl: float | None) -> bool:
        """Step on some rows; return whether the update goes on."""
        oracle, x = self.oracle, epoch.features[place]
        oracle.compute()
        out, values = oracle.forward(x)
        distribution = oracle.distribution
        log_likelihood = distribution.evaluate(out, distribution.rows(epoch.prepared, place))
        slopes = loss(place, log_likelihood, distribution.entropy(), values[:, 0])
        if isinstance(loss, Surrogate) and target_kl is not None and loss.approximate_kl(place) > 1.5 * target_kl:
            self._see(epoch, place)
            return False
        looked_at = not self._hooked and self._groups.due()
        if self._reads or looked_at:
            self._see(epoch, place)
        self._gradient(x, out, values, slopes, epoch.index[place])
        if self._reads:
            self.penalties.at_parameters(self.tuner.signals.batch)
        for frozen in self._frozen:
            self.flat.gradient[frozen] = 0.0
        clip(self.flat.gradient, self.model.max_grad_norm)
        self._step(looked_at)
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
            # A trunk that actor and critic share puts out what the actor does.
            for role in ("actor", "trunk"):
                more = penalties.at_outputs(role, oracle.distribution.as_outputs(leaf), leaf, index)
                at_out = at_out if more is None else at_out + more
            leaf = torch.from_numpy(values).clone().requires_grad_()
            more = penalties.at_outputs("critic", Values(leaf), leaf, index)
            at_value = at_value if more is None else at_value + more
        oracle.backward(x, at_out, at_value)

    def _step(self, looked_at: bool) -> None:
        if not self._hooked:
            if looked_at:
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


def log(model: PPO | A2C, figures: dict[str, Any]) -> None:
    """Log an update as SB3 does, given what was computed of its minibatches."""
    for name, value in figures.items():
        model.logger.record(f"train/{name}", value)
    buffer = model.rollout_buffer
    model.logger.record(
        "train/explained_variance", explained_variance(buffer.values.flatten(), buffer.returns.flatten())
    )
    if hasattr(model.policy, "log_std"):
        model.logger.record("train/std", float(model.policy.log_std.detach().exp().mean()))
    model.logger.record("train/n_updates", model._n_updates, exclude="tensorboard")


def cannot(model: Any, stock: type, tuner: Tuner) -> str | None:
    """Return why an agent with these methods is not trained here, None if it is.

    Args:
        model: the agent's model.
        stock: its class, without what the seam has made of it.
        tuner: the methods.
    """
    return (
        unfit(model, stock, RolloutBuffer)
        or refusal(model.policy)
        or refusals.deciding(tuner)
        or refusals.stepping([model.policy.optimizer], flat_step)
    )


def unfit(model: Any, stock: type, *buffers: type) -> str | None:
    """Return why no on-policy engine trains an agent, whatever its networks are, None if one may.

    Args:
        model: the agent's model.
        stock: its class, without what the seam has made of it.
        buffers: the rollout buffers that the engine reads.
    """
    return (
        refusals.algorithm(stock, (PPO, A2C))
        or refusals.buffer(model.rollout_buffer, *buffers)
        or refusals.noise_of_states(model)
    )
