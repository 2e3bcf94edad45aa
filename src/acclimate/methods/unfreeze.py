"""Let go of the layers one after the other, from the head down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from acclimate.errors import ConfigError, SurgeryError
from acclimate.nets.depth import depths
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Scales, Signals


@dataclass(frozen=True, kw_only=True)
class Unfreeze(Method):
    """Freeze all layers but the head, and let go of the layer at depth d when d * `every` of the run is over.

    The head has depth 0, the layer before it 1, and so on; features that actor and critic share stand below both.
    What is frozen is in no optimizer, so it begins with fresh moments when it joins, as the next rollout begins. What
    is part of no layer, such as `log_std`, trains from the start. Normalisation layers take in their running
    statistics throughout.

    Source: gradual unfreezing in Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text
    Classification" (arXiv:1801.06146), one layer after each epoch, where the head was new. Here there are no epochs:
    a tenth of the run for each layer trains a small agent's whole network after a fifth of it. Use it where the head
    or the rewards changed most and the early layers should wait until the head's gradient means something. It loses
    where the first layers have to change, as with changed sensors: they get the least time, and what the later ones
    learnt meanwhile on the wrong features is to be unlearnt.
    """

    name: ClassVar[str] = "unfreeze"
    family: ClassVar[str] = "layer"
    # A network below the head, a trunk for one, begins frozen as a whole.
    vacuous: ClassVar[bool] = True

    every: float = 0.1
    """Share of the run between one layer and the next. Higher: early layers wait longer and forget less; 0 trains
    everything at once."""
    on: Select = Select("*")
    """Which networks or layers; the rest trains from the start."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.every < 1.0:
            raise ConfigError(f"unfreeze.every is {self.every}; give a share of the run in [0, 1), 0.1 for example")

    def init(self, net: Net, context: Context) -> tuple[()]:
        """Refuse a network so deep that the run would be over first.

        Raises:
            SurgeryError: if a layer would stay frozen to the end.
        """
        deepest = max(depths(net).values(), default=0)
        if deepest * self.every >= 1.0:
            raise SurgeryError(
                f"`unfreeze` on `{net.role}`: {deepest} layers at {self.every} of the run each are more than the run; "
                f"give an `every` below {1 / deepest:.2g}"
            )
        return ()

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Return 0 for the layers that wait."""
        return {p: 0.0 for p, depth in depths(net).items() if signals.progress < depth * self.every}
