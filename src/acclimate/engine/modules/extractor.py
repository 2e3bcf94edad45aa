"""What the features extractors of an off-policy agent make of the stored steps, kept while they are fixed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from acclimate.engine.arrays.flat import Flat
from acclimate.engine.learning.recall import Recall, Watch
from acclimate.engine.learning.trained import Trained
from acclimate.nets.masks import Masked
from acclimate.nets.modes import statistics_modules

Array = NDArray[Any]


class Observed:
    """The observations of a minibatch."""

    def __init__(self, places: Array | None, rows: Array, read: Callable[[Array], Any]) -> None:
        """Hold them.

        Args:
            places: of the steps in the buffer; None if they have none.
            rows: as they are stored.
            read: makes what a policy's modules take.
        """
        self.places, self.rows, self._read = places, rows, read

    @cached_property
    def tensor(self) -> Any:
        """What a policy's modules take; nobody asks for it where features are kept."""
        return self._read(self.rows)


class Extractor:
    """A network's features extractor, which is passed by while nothing is trained in it."""

    def __init__(self, net: Any, flat: Flat, still: Callable[[list[Any]], bool], read: Callable[[Array], Any]) -> None:
        """Hold the network.

        Args:
            net: an actor, critics, or a target network.
            flat: where its parameters live.
            still: tells whether its extractor's parameters stay as they are for now.
            read: makes what a policy's modules take.
        """
        self._net, self._flat, self._still, self._read = net, flat, still, read
        self._weights = list(net.features_extractor.parameters())
        parts = [net, *net.features_extractor.modules()]
        self._apart = bool(self._weights) and fixed(net.features_extractor) and not any(map(listened, parts))
        self._watch = Watch(self._weights)
        self.recall: Recall

    @torch.no_grad()
    def run(self, rows: Array) -> Array:
        """Return features, (rows, features)."""
        return self._net.extract_features(self._read(rows), self._net.features_extractor).numpy()

    def state(self) -> Any:
        """Return how many features there are, and what is another one after the weights were written; see `Recall`."""
        if not self._apart or not self._still(self._weights):
            return None
        return self._net.features_extractor.features_dim, self._flat.moves, self._watch.state

    @property
    def on(self) -> bool:
        """Whether it can be passed by."""
        return self.recall.on

    def __call__(self, seen: Observed) -> Tensor:
        """Return features, (rows, features), without a gradient."""
        return torch.from_numpy(self.recall(seen.places, seen.rows))


def frozen(parameters: list[Any]) -> bool:
    """Tell whether nothing is trained."""
    return not any(parameter.requires_grad for parameter in parameters)


def at_rest(trained: Trained) -> Callable[[list[Any]], bool]:
    """Return what tells whether parameters of a target network have come to rest."""

    def still(parameters: list[Any]) -> bool:
        return trained.following is not None and all(map(trained.following.rests, parameters))

    return still


def fixed(module: nn.Module) -> bool:
    """Tell whether a module puts out the same for the same input: nothing is drawn or counted as it runs."""
    chance = any(isinstance(part, (Masked, _DropoutNd, _NormBase)) for part in module.modules())
    return not chance and not statistics_modules(module)


def listened(module: nn.Module) -> bool:
    """Tell whether anything runs with a module's own forward pass, or in its place."""
    return bool(module._forward_hooks or module._forward_pre_hooks) or "forward" in vars(module)
