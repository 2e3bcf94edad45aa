"""What the updates of all algorithms on a device have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from acclimate.engine.arrays import operators
from acclimate.engine.device.baked import baked
from acclimate.engine.device.captured import WARM, Host, Recorder, Runner
from acclimate.engine.device.learner import Learner, Shown
from acclimate.engine.device.penalties import Penalties
from acclimate.nets.experience import Batch
from acclimate.tuning.tuner import Tuner


class DeviceUpdate(ABC):
    """Updates a model in place, with the methods of a tuner."""

    hyperparameters: ClassVar[tuple[str, ...]]
    """The model's attributes that an update reads, those left out that it reads from tensors."""

    def __init__(self, model: Any, tuner: Tuner, optimizers: Iterable[Any], recorder: Recorder | None) -> None:
        """Prepare; `cannot` has said that all of this can be run.

        Args:
            model: it is updated.
            tuner: its methods.
            optimizers: those that the tuner has adopted.
            recorder: captures updates; None runs them as they are.
        """
        self.model, self.tuner, self.device = model, tuner, torch.device(model.device)
        self.penalties = Penalties(tuner.composition, self.device)
        self.learners = [Learner(optimizer, tuner, self.penalties, self.device) for optimizer in optimizers]
        self.stepped: list[tuple[Learner, Shown]] = []
        for learner in self.learners:
            learner.stepped = self.stepped
        self.batch = Batch(None)
        self.figures = torch.zeros((), device=self.device)
        self.without = operators.without(operators.LISTS, self.device.type)
        """What is not used of torch, and why; it is tried here, as nothing can be tried during a capture."""
        self._recorder = recorder
        self.warm(WARM)

    def warm(self, updates: int) -> None:
        """Begin anew, with so many updates of a kind before it is captured."""
        self.runner = Runner(self, self.tuner.signals, self._recorder, updates)

    @property
    def key(self) -> Any:
        """Something that is another one when what was captured no longer holds."""
        model = self.model
        numbers = tuple(_held(getattr(model, name, None)) for name in self.hyperparameters)
        return baked(model.policy), numbers, self.penalties.key, tuple(learner.key for learner in self.learners)

    @property
    def tensors(self) -> list[Tensor]:
        """All that an update writes and the next one reads."""
        policy, moments = self.model.policy, (tensor for learner in self.learners for tensor in learner.tensors)
        own = {id(t): t for t in (*policy.parameters(), *self.tuner.parameters, *policy.buffers())}
        return [*own.values(), *moments]

    def begin(self, inputs: Any) -> None:
        """Begin updates on inputs that lie where this key says."""
        self.penalties.write()
        for learner in self.learners:
            learner.begin()
        self.runner.begin((self.key, inputs))

    def end(self) -> None:
        """Bring what the optimizers keep up to date."""
        for learner in self.learners:
            learner.end()

    @abstractmethod
    def body(self, kind: Any) -> Iterator[Host]:
        """Update once, and yield what the host has to do."""


def _held(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.data_ptr()
    return value if value is None or isinstance(value, (bool, int, float, str)) else id(value)


def read(figures: list[Tensor]) -> Any:
    """Return (updates, figures) in numpy: the one moment at which the host waits for the device."""
    return torch.stack(figures).double().cpu().numpy()
