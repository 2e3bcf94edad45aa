"""Train the layers that the new world pulls at hardest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.nn import Parameter

from acclimate.errors import ConfigError
from acclimate.nets.depth import depths
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Scales, Signals


@dataclass(frozen=True, kw_only=True)
class Surgical(Method):
    """Train the layers l of a network with the largest relative gradient, and freeze the others.

    r_l = || mean_k g_l^(k) || / || theta_l ||, over the gradients g^(k) of its first updates in the target world, taken
    at the pretrained weights: the network is held while they are measured, so what is frozen in the end is what was
    pretrained. The gradient is that of the algorithm's own loss, with penalties and entropy bonus, whatever the
    algorithm is; clipping shrinks all layers of a network alike and does not change their order. Updates in which a
    network has no gradient, such as those of `hold`, do not count, so a critic that learns first has done so by then.
    Layers side by side (two critics, mean and spread) are chosen as one. What is part of no layer, such as `log_std`,
    trains afterwards; a trunk that actor and critic share chooses layers of its own.

    Source: Lee et al. 2023, "Surgical Fine-Tuning Improves Adaptation to Distribution Shifts" (arXiv:2210.11466): on
    images the first layers were best for shifts of the input and the last ones for shifts of the output. Its automatic
    rule turns relative gradients into learning rates, again and again; this chooses once and freezes, as its best
    hand-made choices do. Use it with few steps and much to lose. It loses where the gradient of a few noisy updates
    names the wrong layer, which in reinforcement learning it may (that of an actor goes through a critic of the old
    world), and where the change is in all layers, as changed dynamics may be; no evidence there is known.
    """

    name: ClassVar[str] = "surgical"
    family: ClassVar[str] = "layer"

    layers: int = 1
    """How many layers of each network to train. More: more can change, more is forgotten."""
    updates: int = 50
    """Updates to measure in, during which the network waits. More: a steadier choice, a later start. On-policy they
    all see one rollout; a minibatch that comes again adds nothing."""
    on: Select = Select("*")
    """Which networks or layers to choose among; the rest trains as a whole."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("layers", "updates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"surgical.{name} is {getattr(self, name)}; give 1 or more")

    def init(self, net: Net, context: Context) -> dict[str, Any]:
        """Return that nothing has been measured, and nothing chosen."""
        return {"updates": 0, "gradients": {}, "chosen": []}

    def scales(self, net: Net, state: dict[str, Any] | None, signals: Signals) -> Scales:
        """Freeze what was not chosen, from the first rollout after the choice on."""
        return {} if state is None else dict.fromkeys(self._others(net, state), 0.0)

    def gradient(self, net: Net, state: dict[str, Any], signals: Signals) -> None:
        """Measure, and then leave a gradient to what was chosen only."""
        if not state["chosen"]:
            self._measure(net, state)
        for parameter in self._others(net, state) if state["chosen"] else net.parameters():
            parameter.grad = None

    def constrains(self, net: Net) -> list[Parameter]:
        """Return what is part of a layer."""
        return list(depths(net))

    def _others(self, net: Net, state: dict[str, Any]) -> list[Parameter]:
        return [p for p, depth in depths(net).items() if state["chosen"] and depth not in state["chosen"]]

    def _measure(self, net: Net, state: dict[str, Any]) -> None:
        total, found = state["gradients"], {p: p.grad for p in depths(net) if p.grad is not None}
        for parameter, gradient in found.items():
            total[parameter] = total[parameter] + gradient if parameter in total else gradient.clone()
        state["updates"] += bool(found)
        if state["updates"] == self.updates:
            relative = relative_gradients(net, state)
            state["chosen"] = sorted(sorted(relative, key=relative.__getitem__, reverse=True)[: self.layers])
            state["gradients"] = {}


def relative_gradients(net: Net, state: dict[str, Any]) -> dict[int, float]:
    """Return the norm of the mean gradient over that of the weights, by the depth of the layer."""
    blocks: dict[int, list[Parameter]] = {}
    for parameter, depth in depths(net).items():
        if parameter in state["gradients"]:
            blocks.setdefault(depth, []).append(parameter)
    return {
        depth: _norm([state["gradients"][p] / state["updates"] for p in block]) / max(_norm(block), 1e-12)
        for depth, block in blocks.items()
    }


def _norm(tensors: list[Any]) -> float:
    return float(torch.stack([tensor.detach().norm() for tensor in tensors]).norm())
