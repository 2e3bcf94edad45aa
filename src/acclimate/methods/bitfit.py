"""Train the biases, and nothing else of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch.nn import Parameter

from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.tuning.method import Method, Scales, Signals


@dataclass(frozen=True, kw_only=True)
class BitFit(Method):
    """Freeze the weights W of every layer and train its bias b alone: y = W x + b.

    Of a normalisation the shift is trained and the scale frozen; its running statistics go on. It changes about one
    number in a hundred of an agent with two layers of 64 units, and each by the learning rate as it is: nothing is
    added, so nothing has to be folded.

    Source: Ben Zaken, Ravfogel and Goldberg 2022, "BitFit: Simple Parameter-efficient Fine-tuning for
    Transformer-based Masked Language-models" (arXiv:2106.10199), which found it ahead of full fine-tuning on few data
    and behind on many; of reinforcement learning it says nothing. Use it for offsets (a sensor or an actuator that
    reads or gives a constant more) and where little may be forgotten. It loses where gains changed (`channel` has a
    scale as well), and where new features are needed: units can only switch on and off elsewhere.
    """

    name: ClassVar[str] = "bitfit"
    family: ClassVar[str] = "channel"
    steady: ClassVar[bool] = True

    on: Select = Select("*")
    """Which layers. Fewer: the rest trains as a whole. What is no layer there, such as `log_std`, trains on as it
    is."""

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Return 0 for what is neither a bias nor outside of the layers."""
        free = {id(p) for p in (*self.constrains(net), *net.loose_parameters())}
        return {p: 0.0 for p in net.pretrained_parameters() if id(p) not in free}

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the biases."""
        known = {id(parameter) for parameter in net.pretrained_parameters()}
        named = net.named_parameters()
        return [p for path, p in named if id(p) in known and path.rpartition(".")[2].startswith("bias")]
