"""Runs a method, or a chain of them, on networks and their optimizers; it knows no framework.

The phases are: every `inject`, then the scales, every `init`, training, every `fold`. In training the tuner
owns the parameter groups of the optimizers that it adopts. A group has a `scale`: its learning rate is
multiplied by it for the time of a step only, because Stable-Baselines3 writes one learning rate into every
group at each `train()`. What has scale 0 is in no group at all and has no gradient: with a zero rate alone,
Adam's moments would still move it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import Optimizer

from acclimate.errors import SurgeryError, TrainingError
from acclimate.nets.copies import frozen_copy
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net, View
from acclimate.nets.outputs import apart, as_policy
from acclimate.tuning.composition import Composition
from acclimate.tuning.context import Context
from acclimate.tuning.groups import Groups
from acclimate.tuning.method import Method, Signals

MOST = 2**53
"""What counts and signals stay below; a checkpoint that says otherwise is damaged."""


class Tuner:
    """Applies a method to networks in place, helps to train them, and ends with stock networks again."""

    def __init__(
        self,
        method: Method,
        nets: Iterable[Net],
        *,
        context: Context | None = None,
        signals: Signals | None = None,
        seen_as: View | None = None,
    ) -> None:
        """Inject, scale and initialise.

        Args:
            method: one method or a chain.
            nets: the networks, as they were pretrained.
            context: data and judgement for methods that want them.
            signals: what training knows; the tuner makes one if none is given.
            seen_as: maps observations as normalised now to what the pretrained networks would have read.

        Raises:
            SurgeryError: if a method matches nothing or would have no effect, or nothing is left to train.
        """
        self.context = context or Context()
        self.signals = signals or Signals()
        self.nets = referenced(nets, seen_as)
        self.composition = Composition(method, self.nets, self.context, self.signals)
        self.scales: dict[Parameter, float] = {}
        self._adopted: list[Groups] = []
        self.composition.inject()
        self.parameters = list({id(p): p for net in self.nets for p in net.parameters()}.values())
        self.refresh()
        self.composition.init()
        self.refresh()
        self.composition.refuse_vacuous(self.scales)

    def refresh(self) -> None:
        """Ask every method for its scales again, if those of any change, and apply them."""
        if not self.scales or any(not part.method.steady for part, _ in self.composition.each("scales")):
            self.apply(self.composition.scales(self.parameters))

    def apply(self, scales: dict[Parameter, float]) -> None:
        """Give each parameter its factor of the learning rate; what has 0 is frozen."""
        if scales == self.scales:
            return
        self.scales = scales
        for parameter, scale in scales.items():
            parameter.requires_grad_(scale > 0)
            if scale == 0:
                parameter.grad = None
        for groups in self._adopted:
            groups.apply(scales)

    def adopt(self, optimizer: Optimizer) -> Groups:
        """Take over the parameter groups of an optimizer, and act when it steps.

        Parameters that methods added join it, frozen ones leave it. Around each step gradients are edited,
        scales applied and the `after` hooks run.

        Raises:
            SurgeryError: if it holds no parameter of a network that has no optimizer yet.
        """
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        taken = {net.role for groups in self._adopted for net in groups.nets}
        homes = [n for n in self.nets if n.role not in taken and any(id(p) in held for p in n.pretrained)]
        if not homes:
            raise SurgeryError("the optimizer holds no parameter of these networks; give the one that trains them")
        groups = Groups(optimizer, homes, before=self._before, after=self._after)
        groups.apply(self.scales)
        self._adopted.append(groups)
        return groups

    @property
    def adopted(self) -> tuple[Groups, ...]:
        """The parameter groups of the optimizers that were adopted."""
        return tuple(self._adopted)

    def hold(self) -> None:
        """Act on the adopted optimizers again."""
        for groups in self._adopted:
            groups.hold()

    def release(self) -> None:
        """Stop acting on the adopted optimizers; their groups stay as they are."""
        for groups in self._adopted:
            groups.release()

    def rollout(self) -> None:
        """Tell every method that a rollout begins, and read their scales again."""
        self.composition.rollout()
        self.refresh()

    def penalty(self, batch: Batch, nets: Sequence[Net] | None = None) -> Tensor:
        """Return the sum of the penalties on a batch, a scalar to add to the loss.

        Args:
            batch: the experience that the update is computed from.
            nets: only the penalties on these; on all by default.
        """
        return self.composition.penalty(batch, None if nets is None else [net.role for net in nets])

    def accumulate(self, groups: Groups, batch: Batch) -> None:
        """Add the gradient of the penalties to the `.grad` of what one optimizer trains, and no other."""
        nets = self.composition.penalised(groups.nets)
        trained = groups.trained()
        if not nets or not trained:
            return
        penalty = self.penalty(batch, nets)
        if not penalty.requires_grad:
            return
        gradients = torch.autograd.grad(penalty, trained, allow_unused=True)
        for parameter, gradient in zip(trained, gradients, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient

    @torch.no_grad()
    def drift(self, batch: Batch) -> float | None:
        """Return the mean KL(prior || policy) on a batch in nats, None where no network puts out a policy.

        It is None as well where two of its distributions cannot be compared.

        Q-networks count as softmax(Q), single actions as Gaussians of standard deviation 0.2.
        """
        for net in self.nets:
            if net.decides:
                both = self.composition.outputs(net, batch)
                now, prior = (as_policy(item, temperature=1.0, std=0.2) for item in both)
                return apart(prior, now)
        return None

    @property
    def finishes(self) -> bool:
        """Whether a method has anything to do at the end of training."""
        return any(True for _ in self.composition.each("finish"))

    def finish(self) -> None:
        """Let the methods change the weights after the last step of training."""
        self.composition.finish()

    def fold(self) -> None:
        """Undo every injection, keep what was learnt, and give the networks back trainable.

        Raises:
            SurgeryError: if a method cannot end as a stock network.
        """
        self.composition.fold()
        self.release()
        for net in self.nets:
            for parameter in net.pretrained:
                parameter.requires_grad_(True)
                parameter.grad = None

    def keep(self) -> None:
        """Leave in place what is part of the networks now, and give them back trainable as they are."""
        self.composition.keep()
        self.release()
        for parameter in self.parameters:
            parameter.requires_grad_(True)
            parameter.grad = None

    @property
    def trainable_parameters(self) -> int:
        """How many numbers are trained."""
        kept = self.composition.kept()
        return sum(p.numel() - kept.get(p, 0) for p in self.parameters if self.scales[p] > 0)

    @property
    def total_parameters(self) -> int:
        """How many numbers the networks have, what methods added included, target twins not."""
        return sum(p.numel() for p in self.parameters)

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the methods and the signals as plain data and tensors."""
        signals = {
            field.name: getattr(self.signals, field.name)
            for field in dataclasses.fields(self.signals)
            if field.name not in ("penalties", "batch", "forget")
        }
        methods = self.composition.state_dict(self.parameters)
        scales = [self.scales[parameter] for parameter in self.parameters]
        return {"signals": signals, "methods": methods, "scales": scales, "charged": self.context.charged}

    def load_state_dict(self, data: Mapping[str, Any]) -> None:
        """Go on with states that `state_dict` returned for the same methods on the same networks.

        Raises:
            TrainingError: if they are of other methods or other networks.
        """
        scales, charged, signals = data["scales"], data["charged"], data["signals"]
        known = {field.name for field in dataclasses.fields(self.signals)}
        numbers = [*scales, charged, *(value for value in signals.values() if value is not None)]
        sound = all(isinstance(number, int | float) and abs(number) < MOST for number in numbers)
        if len(scales) != len(self.parameters) or not sound or min(*scales, charged) < 0 or not signals.keys() <= known:
            raise TrainingError("the checkpoint is of another agent or recipe; resume with its own")
        self.composition.load_state_dict(data["methods"], self.parameters)
        for name, value in signals.items():
            setattr(self.signals, name, value)
        self.context.charged = charged
        # Those that the optimizers were saved with: methods are asked again when the next rollout begins.
        self.apply(dict(zip(self.parameters, scales, strict=True)))

    def _before(self, groups: Groups) -> None:
        self.signals.learning_rate = groups.learning_rate
        self.composition.gradient(net.role for net in groups.nets)

    def _after(self, groups: Groups) -> None:
        self.composition.after(net.role for net in groups.nets)
        groups.forget(self.signals.forget)


def referenced(nets: Iterable[Net], seen_as: View | None) -> tuple[Net, ...]:
    """Give every network its frozen copy, before any method changes it; networks in one module share one."""
    nets = tuple(nets)
    modules: dict[int, nn.Module] = {id(net.module): net.module for net in nets}
    copies = {key: frozen_copy(module) for key, module in modules.items()}
    return tuple(
        dataclasses.replace(net, reference=copies[id(net.module)], seen_as=seen_as, pretrained=tuple(net.parameters()))
        for net in nets
    )
