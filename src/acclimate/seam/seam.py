"""Reaches the training of a Stable-Baselines3 model from outside, without a copy of any `train()`.

While the seam is entered the model's class is a subclass that knows when a rollout and when an update begins.
An attribute on the model would end up in the zips that SB3's callbacks write in the middle of training.
During an update

* the buffer's `get` or `sample` is tapped, which tells the minibatch, and lets methods change it;
* an optimizer's `zero_grad` adds the gradient of the penalties, so that `backward` adds to it and SB3's
  clipping covers both;
* the optimizer's step hooks edit gradients, apply learning-rate scales and run what comes after a step.

In a rollout, where a method acts, what it decides takes the place of the sampled action.

That serves every algorithm that trains by optimizer steps, and of TRPO all but the actor's step (`trust_region`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.nn import Parameter
from torch.utils.hooks import RemovableHandle

from acclimate.errors import TrainingError
from acclimate.nets.experience import Batch
from acclimate.nets.net import View
from acclimate.sb3.logged import logged
from acclimate.sb3.networks import find
from acclimate.sb3.optimizers import follow, optimizers
from acclimate.sb3.saved import check_saved
from acclimate.seam import trust_region
from acclimate.seam.decisions import Decisions, mark_acting
from acclimate.seam.minibatches import refuse_untappable, tapped
from acclimate.seam.recollection import Recollection
from acclimate.seam.subclass import Engine, reached
from acclimate.tuning.context import Context
from acclimate.tuning.groups import Groups
from acclimate.tuning.method import Method, Signals
from acclimate.tuning.tuner import Tuner


class Seam:
    """A method applied to a Stable-Baselines3 model, in place.

    Example:
        >>> from stable_baselines3 import PPO
        >>> from acclimate.methods.l2sp import L2SP
        >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, device="cpu")
        >>> with Seam(model, L2SP(weight=0.5)) as seam:
        ...     _ = model.learn(64)
        >>> tuned = seam.fold()
    """

    def __init__(
        self,
        model: BaseAlgorithm,
        method: Method,
        *,
        context: Context | None = None,
        total_steps: int | None = None,
        seen_as: View | None = None,
    ) -> None:
        """Inject, scale and initialise; hooks wait until the seam is entered.

        Args:
            model: it is changed in place; give a copy of what has to stay.
            method: one method or a chain.
            context: data and judgement for methods that want them.
            total_steps: environment steps of the whole run, for schedules; by default those of `learn`.
            seen_as: maps observations as normalised now to what the pretrained networks would have read.

        Raises:
            SurgeryError: if the model's training cannot be reached, or the method cannot be applied to it.
        """
        refuse_untappable(model, method)
        self.model = model
        self.total_steps = total_steps
        self.tuner = Tuner(method, find(model), context=context, seen_as=seen_as)
        trust_region.check(model, self.tuner.composition)
        self._optimizers = dict(optimizers(model, self.tuner.nets))
        self._groups = {name: self.tuner.adopt(optimizer) for name, optimizer in self._optimizers.items()}
        self._orders = {name: list(groups.original) for name, groups in self._groups.items()}
        self.tuner.release()
        self._stock = type(model)
        self._handles: list[RemovableHandle] = []
        self._steps_seen: int | None = None
        self.engine: Engine | None = None
        """What collects and trains in the place of the model itself, if anything does."""
        self._recollection = Recollection(model, self.tuner.nets)
        self.decisions = Decisions(model, self.tuner.composition, self._recollection)
        self._changes = any(True for _ in self.tuner.composition.each("minibatch"))

    @property
    def signals(self) -> Signals:
        """What training knows now; the seam writes what SB3 tells, others may add."""
        return self.tuner.signals

    @property
    def trainable_parameters(self) -> int:
        """How many numbers are trained."""
        return self.tuner.trainable_parameters

    @property
    def total_parameters(self) -> int:
        """How many numbers the networks have, target twins not counted."""
        return self.tuner.total_parameters

    @property
    def optimizers(self) -> dict[str, Groups]:
        """The parameter groups of the optimizers that train the networks, by the optimizer's path in the model."""
        return dict(self._groups)

    def drift(self) -> float | None:
        """Return the mean KL(prior || policy) on the last minibatch in nats, None before the first."""
        return None if self.batch is None else self.tuner.drift(self.batch)

    @property
    def batch(self) -> Batch | None:
        """The last minibatch, None before the first."""
        return self.signals.batch

    # Entering and leaving

    def __enter__(self) -> Seam:
        """Put the hooks in place."""
        if type(self.model) is self._stock:
            self.model.__class__ = reached(self._stock, self)
            self.tuner.hold()
            self._handles += self._recollection.follow()
            for net in self.tuner.nets:
                if net.on_policy:
                    self._handles += mark_acting(net)
                if net.on_policy and net.decides and self.decisions.wanted:
                    self._handles.append(net.module.register_forward_hook(self.decisions.instead, with_kwargs=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the hooks away; what the method injected stays until `fold`."""
        self.detach()

    def detach(self) -> None:
        """Take the hooks away; the seam can be entered again."""
        self.model.__class__ = self._stock
        self.tuner.release()
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def finish(self) -> None:
        """Let the methods change the weights after the last step of training."""
        self.tuner.finish()

    def fold(self) -> BaseAlgorithm:
        """Fold the methods from right to left and return the model as a stock one, with fresh optimizers.

        An optimizer of before would hold moments of parameters that are gone: such a zip loads and fails
        later.

        Raises:
            SurgeryError: if a method cannot end as a stock network.
        """
        self.detach()
        self.tuner.fold()
        self._renew(self._orders)
        return self.model

    def keep(self) -> BaseAlgorithm:
        """Return the model with what the methods injected in place, and fresh optimizers that train it too."""
        self.detach()
        self.tuner.keep()
        self._renew({name: [*order, *self._groups[name].added] for name, order in self._orders.items()})
        return self.model

    def _renew(self, orders: Mapping[str, list[Parameter]]) -> None:
        policy = self.model.policy
        for name, order in orders.items():
            fresh = policy.optimizer_class(order, lr=self.model.lr_schedule(1), **policy.optimizer_kwargs)
            owner, _, attribute = name.rpartition(".")
            setattr(follow(self.model, owner), attribute, fresh)

    # Checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Return networks, optimizers, states and signals as tensors and plain data, before `fold`."""
        _, variables = self.model._get_torch_save_params()
        return {
            "tuner": self.tuner.state_dict(),
            "parameters": copy.deepcopy(self.model.get_parameters()),
            "variables": {name: follow(self.model, name).detach().clone() for name in variables},
        }

    def load_state_dict(self, data: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken: the same method on the same agent.

        Raises:
            TrainingError: if it is of other methods or other networks.
        """
        self.tuner.load_state_dict(data["tuner"])
        try:
            check_saved(self.model, data["parameters"], data["variables"])
            # An optimizer keeps the very tensors that it is given.
            parameters = copy.deepcopy(dict(data["parameters"]))
            self.model.set_parameters(parameters, exact_match=True, device=self.model.device)
        except (ValueError, RuntimeError) as error:
            first = str(error).splitlines()[0]
            raise TrainingError(
                f"the checkpoint is of another agent or recipe ({first}); resume with its own"
            ) from error
        with torch.no_grad():
            for name, value in data["variables"].items():
                follow(self.model, name).copy_(value)
        self._steps_seen = None

    # What the subclass calls

    @contextmanager
    def rollout(self) -> Iterator[None]:
        """Surround the collection of a rollout."""
        self._read_steps()
        buffer = self.model.ep_info_buffer
        if buffer:
            self.signals.mean_return = float(np.mean([episode["r"] for episode in buffer]))
        self.tuner.rollout()
        self.decisions.begin()
        self._recollection.begin()
        yield

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Surround an update, whoever makes it: read the steps before it and what was logged after it."""
        self._read_steps()
        yield
        self._read_log()

    @contextmanager
    def update(self) -> Iterator[None]:
        """Surround one call of the model's own `train`."""
        for groups in self._groups.values():
            groups.optimizer.zero_grad = self._zero_grad(groups)  # type: ignore[method-assign]
        try:
            with (
                trust_region.trained_alone(self.model),
                tapped(
                    self.model,
                    self._see,
                    change=self.tuner.composition.minibatch if self._changes else None,
                    own=self.decisions.own,
                    rows=self._recollection.rows,
                ),
            ):
                yield
        finally:
            for groups in self._groups.values():
                del groups.optimizer.zero_grad
                groups.settle()

    def skip(self) -> None:
        """Count the steps of a rollout that no update is made of."""
        self._read_steps()

    def _see(self, batch: Batch) -> None:
        self.signals.batch = batch

    def _zero_grad(self, groups: Groups) -> Callable[..., None]:
        zero_grad = groups.optimizer.zero_grad

        def zero_and_penalise(set_to_none: bool = True) -> None:
            zero_grad(set_to_none)
            if self.batch is None:
                raise TrainingError(
                    f"{self._stock.__name__} steps without a minibatch from its buffer; "
                    "use one of SB3's own algorithms and buffers"
                )
            self.tuner.accumulate(groups, self.batch)

        return zero_and_penalise

    def _read_steps(self) -> None:
        """Count environment steps on; `learn` may have set the model's own counter back to zero."""
        now, signals = self.model.num_timesteps, self.signals
        before = now if self._steps_seen is None else self._steps_seen
        signals.env_steps += now - before if now >= before else now
        self._steps_seen = now
        total = self.total_steps or signals.env_steps + self.model._total_timesteps - now
        signals.progress = min(signals.env_steps / total, 1.0) if total > 0 else 0.0

    def _read_log(self) -> None:
        for name in ("approx_kl", "explained_variance"):
            value = logged(self.model.logger, name)
            if value is not None:
                setattr(self.signals, name, value)
