"""Train early layers more slowly than late ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from torch.nn import Parameter

from acclimate.errors import ConfigError
from acclimate.nets.depth import depths
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.tuning.method import Method, Scales, Signals


@dataclass(frozen=True, kw_only=True)
class Discriminative(Method):
    """Train the layer at depth d at the learning rate lr / factor^d.

    The head has depth 0, the layer before it 1, and so on; features that actor and critic share stand below both.
    What is part of no layer, such as `log_std`, keeps lr.

    Source: Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text Classification" (arXiv:1801.06146),
    where 2.6 was found to work for the layers of a language model. Early layers are held to be the most general, and
    so to need the least change. Use it where rewards or dynamics changed and what is seen did not. It loses where
    sensors changed: a factor below 1 trains the first layers fastest instead. An agent with two hidden layers has its
    first one at 0.15 of the rate, one with convolutions at less than a hundredth, which is nearly frozen.
    """

    name: ClassVar[str] = "discriminative"
    family: ClassVar[str] = "layer"
    steady: ClassVar[bool] = True

    factor: float = 2.6
    """Factor between the rates of one layer and the layer before it. Higher: early layers stay nearer to what was
    pretrained; below 1 they are the fastest, and 0.4 turns the default around."""
    on: Select = Select("*")
    """Which networks or layers; the rest keeps its rate. Depth is counted from the head in any case."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.factor) and self.factor > 0):
            raise ConfigError(f"discriminative.factor is {self.factor}; give a number above 0, 2.6 for example")

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Return the factor of each layer's depth."""
        return {p: self.factor**-depth for p, depth in depths(net).items()}

    def constrains(self, net: Net) -> list[Parameter]:
        """Return what is part of a layer."""
        return list(depths(net))
