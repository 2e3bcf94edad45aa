"""A network that one optimizer trains on a device: gradients, what methods add to them, and the step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import Optimizer

from acclimate.engine.device.penalties import Penalties
from acclimate.engine.device.steps import list_step
from acclimate.nets.experience import Batch
from acclimate.tuning.tuner import Tuner

Shown = list[tuple[Parameter, Tensor]]
Clip = tuple[Sequence[Parameter], float]


def steps_of(optimizer: Optimizer, device: torch.device) -> Any:
    """Return the steps of an optimizer; `cannot` has said that it has some."""
    kind = list_step(optimizer)
    if isinstance(kind, str):
        raise TypeError(kind)
    return kind(optimizer, device)


class Learner:
    """The parameters of one optimizer."""

    def __init__(self, optimizer: Optimizer, tuner: Tuner, penalties: Penalties, device: torch.device) -> None:
        """Step in the place of an optimizer that the tuner has adopted."""
        (self._groups,) = (groups for groups in tuner.adopted if groups.optimizer is optimizer)
        self._composition, self._signals = penalties.composition, tuner.signals
        self._steps = steps_of(optimizer, device)
        self.stepped: list[tuple[Learner, Shown]] = []
        """Joined by each step, so that the host can count it."""

    @property
    def key(self) -> Any:
        """Something that is another one when what was captured of a step no longer holds."""
        return self._steps.key

    @property
    def tensors(self) -> list[Tensor]:
        """What a step writes besides the parameters."""
        return self._steps.tensors

    def begin(self) -> None:
        """Begin updates."""
        self._steps.begin()

    def end(self) -> None:
        """Bring what the optimizer keeps up to date."""
        self._steps.end()

    def learn(self, loss: Tensor, batch: Batch, clip: Clip | None = None) -> None:
        """Step along the gradient of a loss and of the penalties.

        Args:
            loss: a scalar.
            batch: what the penalties are computed on.
            clip: the parameters whose gradients are scaled down together, and the norm they are scaled down to.
        """
        shown = self._gradients(loss, batch)
        if clip is not None:
            nn.utils.clip_grad_norm_(clip[0], clip[1])
        self._steps.step([p for p, _ in shown])
        self.stepped.append((self, shown))

    def _gradients(self, loss: Tensor, batch: Batch) -> Shown:
        """Give each trained parameter that something depends on its `.grad`."""
        trained = self._groups.trained()
        penalised = self._composition.penalised(self._groups.nets)
        terms = [loss]
        if penalised:
            terms.append(self._composition.penalty(batch, [net.role for net in penalised]))
        found: dict[Parameter, Tensor] = {}
        for term in terms:
            if not (trained and term.requires_grad):
                continue
            for parameter, gradient in zip(trained, torch.autograd.grad(term, trained, allow_unused=True), strict=True):
                if gradient is not None:
                    found[parameter] = found[parameter] + gradient if parameter in found else gradient
        # They are written in place: none may be spread out from fewer numbers, or be another one's as well.
        seen: set[int] = set()
        own = {p: g.clone(memory_format=torch.contiguous_format) if _shares(g, seen) else g for p, g in found.items()}
        for parameter in self._groups.members:
            parameter.grad = own.get(parameter)
        return [(p, own[p]) for p in trained if p in own]

    def counted(self, shown: Shown) -> None:
        """Note that an update has taken its step, whoever ran it."""
        for parameter, gradient in shown:
            parameter.grad = gradient
        self._steps.counted([p for p, _ in shown])
        if self._groups.due():
            self._groups.show()
        self._signals.learning_rate = self._groups.learning_rate
        self._signals.updates += 1


def _shares(gradient: Tensor, seen: set[int]) -> bool:
    """Tell whether numbers lie in one place more than once, or where those that were seen do."""
    known = id(gradient) in seen
    seen.add(id(gradient))
    return known or (0 in gradient.stride() and gradient.numel() > 1)
