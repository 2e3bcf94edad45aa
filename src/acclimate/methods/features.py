"""Keep the hidden units as the pretrained network had them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from acclimate.errors import ConfigError
from acclimate.nets.experience import Batch
from acclimate.nets.layers import following_activation
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.schedule import Schedule, at, span
from acclimate.tuning.method import Method, Signals


@dataclass(frozen=True, kw_only=True)
class FeatureDistillation(Method):
    """Add the relative change of the hidden units h against those of the frozen network, h0, to the loss.

    J(theta) + weight * mean over layers l of  sum_s |h_l(s) - h0_l(s)|^2 / sum_s |h0_l(s)|^2
    over the states s of the minibatch; h are the units after their activation, where that directly follows.
    Divided by its own scale each layer counts alike, whatever its width.

    Source: Li et al. 2019, "DELTA: Deep Learning Transfer using Feature Map with Attention" (arXiv:1901.09229), but
    with all units alike in the place of its attention; in PPO Moalla et al. 2024, "No Representation, No Trust"
    (arXiv:2405.00662) tie pre-activations to those of the last rollout, not to pretrained ones. No source gives a
    weight for fine-tuning an agent: at the default of 1.0 a relative change of a tenth costs 0.01.

    Use it where features are worth keeping and the head has to change: new rewards, new actuators. It loses where
    the sensors or the dynamics changed, because it holds the features that should. It says nothing of the head.
    """

    name: ClassVar[str] = "features"
    family: ClassVar[str] = "regularisation"
    by_layer: ClassVar[bool] = True

    weight: float | Schedule = 1.0
    """Strength of the tie. Higher: the units stay nearer to the pretrained ones, and less can be learnt below the
    head. A schedule counts environment steps."""
    on: Select = Select("actor|trunk|policy|q")
    """Which networks or layers; the layers that outputs come from are left out. Fewer: the rest adapts freely."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if span(self.weight)[0] < 0:
            raise ConfigError(f"features.weight is {self.weight}; a tie of less than 0 pushes away, give 0 or more")

    def idle(self, signals: Signals) -> bool:
        """Tell whether the weight is zero by now."""
        return at(self.weight, signals.progress) == 0

    def module_penalty(self, net: Net, state: Any, batch: Batch, signals: Signals) -> Tensor:
        """Return the weight times the mean relative change of the layers that the network runs through."""
        with _units(net, net.module) as now:
            net.apply(net.module, batch)
        with torch.no_grad(), _units(net, net.reference) as before:  # type: ignore[arg-type]
            net.prior(batch)
        changes = [_change(now[path], before[path]) for path in now]
        return at(self.weight, signals.progress) * torch.stack(changes).mean()

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the weights of networks that have a hidden layer here: those below it change its units too."""
        return net.whole().parameters() if _paths(net) else []


def _change(now: Tensor, before: Tensor) -> Tensor:
    scale = before.square().sum()
    # A layer whose units are all zero has no scale; its change then counts as it is.
    return (now - before).square().sum() / torch.where(scale > 0, scale, torch.ones_like(scale))


def _paths(net: Net) -> list[str]:
    return [layer.path for layer in net.layers() if not layer.head]


@contextmanager
def _units(net: Net, module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collect the hidden units that a pass through the module makes, by the path of their layer."""
    found: dict[str, Tensor] = {}
    activations = {path: following_activation(module, path) for path in _paths(net)}
    latest = ""

    def layer_ran(path: str) -> Callable[..., None]:
        def note(layer: nn.Module, args: Any, output: Tensor) -> None:
            nonlocal latest
            latest = path
            found[path] = output

        return note

    def activation_ran(activation: nn.Module, args: Any, output: Tensor) -> None:
        # One activation may stand in several places: its units are those of the layer that ran just before it.
        nonlocal latest
        if activations.get(latest) is activation:
            found[latest] = output
            latest = ""

    handles = [module.get_submodule(path).register_forward_hook(layer_ran(path)) for path in activations]
    once = {id(activation): activation for activation in activations.values() if activation is not None}
    handles += [activation.register_forward_hook(activation_ran) for activation in once.values()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
