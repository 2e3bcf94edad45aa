"""The updates of off-policy agents whose networks are run by their own modules and differentiated by autograd.

They serve what the updates in numpy cannot: convolutions, and methods that put modules into a network or change what it
puts out. Losses are ours; a gradient is asked only for what an optimizer trains, where SB3's actor losses go back into
the critics' weights as well, and each optimizer steps on one flat array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acclimate.engine.arrays.flat import Flat
from acclimate.engine.learning.replay import Sample
from acclimate.engine.learning.trained import Trained
from acclimate.engine.modules.extractor import Extractor, Observed
from acclimate.engine.off_policy.update import OffPolicyUpdate
from acclimate.sb3.policies.intake import tensors
from acclimate.tuning.tuner import Tuner

Array = NDArray[Any]


class AutogradUpdate(OffPolicyUpdate):
    """What the algorithms have in common."""

    step = 1

    def __init__(self, model: Any, tuner: Tuner, trained: dict[str, Trained]) -> None:
        """Hold what every algorithm has; see `OffPolicyUpdate`."""
        super().__init__(model, tuner, trained)
        self._moded = True

    def read(self, observations: Array) -> Array:
        """Return observations as they are: the policy's own modules turn them into numbers."""
        return observations

    @property
    def acting(self) -> AutogradUpdate:
        """This: modules have nothing to compute beforehand."""
        return self

    def compute(self) -> None:
        """Do nothing: modules compute their weights as they run."""

    def look(self) -> None:
        """Do nothing: autograd sees at each pass what is trained."""

    def seen(self, x: Array) -> Any:
        """Return observations as a policy's modules take them, images with the channels of a pixel side by side."""
        tensor = tensors(self.model.policy, x)
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor

    def extractor(self, net: Any, flat: Flat, still: Callable[[list[Any]], bool]) -> Extractor:
        """Return the features extractor of a network, whose outputs are kept while it is fixed; see `Extractor`."""
        found = Extractor(net, flat, still, self.seen)
        found.recall = self.recalled(found.run, found.state)
        return found

    def before(self, sample: Sample) -> Observed:
        """Return the observations of a minibatch."""
        return Observed(sample.places, sample.observations, self.seen)

    def after(self, sample: Sample) -> Observed:
        """Return the observations that follow."""
        return Observed(sample.places, sample.next_observations, self.seen)

    def learn(self, name: str, loss: Tensor, sample: Sample, most: float | None = None) -> None:
        """Step one optimizer along the gradient of a loss and of the penalties on its networks.

        Args:
            name: of what is trained.
            loss: a scalar.
            sample: the minibatch.
            most: the norm that the gradient is scaled down to.
        """
        trained = self.trained[name]
        flat = trained.flat
        parameters = [p for p in flat.parameters if p.requires_grad]
        penalised = self.tuner.composition.penalised(trained.nets)
        terms = [self.tuner.penalty(sample.batch, penalised)] if penalised else []
        trained.clear()
        used: set[int] = set()
        for term in (*terms, loss):
            if not term.requires_grad:
                continue
            for parameter, gradient in zip(
                parameters, torch.autograd.grad(term, parameters, allow_unused=True), strict=True
            ):
                if gradient is not None:
                    used.add(id(parameter))
                    torch.from_numpy(flat.gradient_of(parameter)).add_(gradient)
        if most is not None:
            trained.clip(most)
        trained.step([p for p in parameters if id(p) not in used])


def column(array: Array) -> Tensor:
    """Return numbers as a tensor, (rows, 1)."""
    return torch.from_numpy(np.ascontiguousarray(array))[:, None]
