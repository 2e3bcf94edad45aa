"""What methods have in common that compute a layer's weights from others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch.nn import Parameter

from acclimate.nets.net import Net
from acclimate.nets.surgery import bake
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method


@dataclass(frozen=True, kw_only=True)
class ComputedInWeights(Method):
    """A method that reparameterises layers (`surgery.reparameterise`): the result of it folds into their weights."""

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the parameters of the layers, those that were added among them."""
        return [parameter for layer in net.layers() for parameter in layer.module.parameters()]

    def fold(self, net: Net, state: Any, context: Context) -> None:
        """Store the weights as they are evaluated, and stop computing them."""
        for layer in net.layers():
            for module in layer.pair:
                bake(module)
