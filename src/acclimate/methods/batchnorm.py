"""Normalise what goes into activations, without a change at the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from acclimate.errors import ConfigError, SurgeryError
from acclimate.nets.masks import Masked
from acclimate.nets.modes import statistics_modules, still
from acclimate.nets.net import Layer, Net
from acclimate.nets.select import Select
from acclimate.nets.surgery import additions, bake, extract, insert, stored
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Scales, Signals

_EPS = 1e-5
_RATIO, _SHIFT = 3.0, 5.0
"""How far the statistics of a batch may be from the running ones before they count themselves: the final values of
Ioffe 2017."""


class Renorm(nn.Module):
    """Batch renormalisation: in training it says what it says in evaluation, and its gradient is that of a batch norm.

    With `patient` the running statistics stay through all passes; `move` takes those of the passes in.
    """

    mean: Tensor
    var: Tensor
    passes: Tensor
    first: Tensor
    second: Tensor

    def __init__(self, like: Tensor, *, axis: int, momentum: float, patient: bool) -> None:
        super().__init__()
        zeros = torch.zeros(like.shape[0], dtype=like.dtype, device=like.device)
        self.axis, self.momentum, self.patient = axis, momentum, patient
        self.register_buffer("mean", zeros.clone())
        self.register_buffer("var", zeros + 1.0)
        for name in ("passes", "first", "second"):
            self.register_buffer(name, zeros[:1].clone() if name == "passes" else zeros.clone())
        self.scale, self.shift = Parameter((self.var + _EPS).sqrt()), Parameter(zeros.clone())

    @torch.no_grad()
    def set_to(self, mean: Tensor, var: Tensor) -> None:
        """Take these statistics, with a scale and a shift that undo them."""
        self.mean.copy_(mean)
        self.var.copy_(var)
        self.scale.copy_((var + _EPS).sqrt())
        self.shift.copy_(mean)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return s and t of the line s * x + t that it is in evaluation mode; exactly 1 and 0 at the start."""
        s = self.scale / (self.var + _EPS).sqrt()
        return s, self.shift - s * self.mean

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised values, of the same shape; the channels are at `axis`."""
        flat = x.detach().movedim(self.axis, -1).flatten(0, -2)
        if self.training and len(flat) > 1:
            if not self.patient:
                return self._renormalised(x, flat)
            away = flat - self.mean
            self.passes.add_(1.0)
            self.first.add_(away.mean(0))
            self.second.add_(away.square().mean(0))
        s, t = self.affine()
        return x * self._along(s, x) + self._along(t, x)

    def _renormalised(self, x: Tensor, flat: Tensor) -> Tensor:
        places = [i for i in range(x.dim()) if i != self.axis % x.dim()]
        mean, var = x.mean(places), x.var(places, correction=0)
        std, running = (var + _EPS).sqrt(), (self.var + _EPS).sqrt()
        r = (std.detach() / running).clamp(1.0 / _RATIO, _RATIO)
        d = ((mean.detach() - self.mean) / running).clamp(-_SHIFT, _SHIFT)
        s = r / std * self.scale
        t = (d - mean * r / std) * self.scale + self.shift
        out = x * self._along(s, x) + self._along(t, x)
        self.mean.lerp_(flat.mean(0), self.momentum)
        self.var.lerp_(flat.var(0, correction=0), self.momentum)
        return out

    def move(self) -> None:
        """Take in what the passes since the last time had."""
        count = float(self.passes)
        if count:
            # As many steps of the moving average as there were passes.
            weight = 1.0 - (1.0 - self.momentum) ** count
            gap = self.first / count
            self.var.lerp_((self.second / count - gap.square()).clamp(min=0.0), weight)
            self.mean.add_(gap, alpha=weight)
            for buffer in (self.passes, self.first, self.second):
                buffer.zero_()

    def _along(self, values: Tensor, x: Tensor) -> Tensor:
        shape = [1] * x.dim()
        shape[self.axis] = -1
        return values.view(shape)


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Method):
    """Put a batch renormalisation behind each hidden layer, before its activation: y = g * (x - m) / s + b.

    m and s come from states of the source task, and g = s, b = m at the start, so the network's function is the
    pretrained one. Then m and s follow the data (moving averages), g and b are trained. In training a batch is
    normalised by its own statistics m_B, s_B and corrected by r = s_B / s and d = (m_B - m) / s, which carry no
    gradient: x' = (x - m_B) / s_B * r + d, so that training and evaluation say the same. At the end all of it is one
    scale and one shift of each unit and folds exactly into the layer before.

    On actors of PPO and A2C (and their trunk) the statistics stay through a rollout and its updates, and move in
    between, as otherwise the probability ratio would not be 1 at the start. A target network has the statistics of the
    weights that it has: it takes them over when its weights move. Where `freeze` holds a layer, its statistics stay.

    Source: Ioffe 2017, "Batch Renormalization" (arXiv:1702.03275), with its last bounds r <= 3 and |d| <= 5 from the
    start, as the statistics are known here; statistics alone as in Li et al. 2016, "Revisiting Batch Normalization For
    Practical Domain Adaptation" (arXiv:1603.04779).

    Use it where sensors changed in size and offset, or where features drift. It loses where the change is in the
    dynamics alone: then the statistics move for no reason, and the actor with them. Agents that normalise by themselves
    (CrossQ) are refused: tune them as they are.
    """

    name: ClassVar[str] = "batchnorm"
    family: ClassVar[str] = "normalisation"
    by_layer: ClassVar[bool] = True
    steady: ClassVar[bool] = True

    train: Literal["all", "affine", "statistics"] = "all"
    """What adapts of a layer that is normalised: all, its g and b with the statistics, or the statistics alone. Less
    forgets less, and can adapt to less. Layers without, such as heads, train on."""
    momentum: float = 0.01
    """Weight of a batch in the running statistics. Higher: they follow a change faster, and are noisier."""
    states: int = 1000
    """States of the source task that the first statistics are taken from. More is more exact, and is charged."""
    on: Select = Select("critic|q")
    """Which networks or layers; the layers that outputs come from are left out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train not in ("all", "affine", "statistics"):
            raise ConfigError(f"batchnorm.train is {self.train!r}; give all, affine or statistics")
        if not 0.0 < self.momentum <= 1.0:
            raise ConfigError(f"batchnorm.momentum is {self.momentum}; give a weight above 0 and up to 1, as 0.01")
        if self.states < 2:
            raise ConfigError(f"batchnorm.states is {self.states}; give 2 at least, 1000 for example")

    def inject(self, net: Net, context: Context) -> None:
        """Put a normalisation behind each hidden layer, and behind its twin.

        Raises:
            SurgeryError: if the network normalises already or is of a recurrent agent, or it could not be folded.
        """
        if net.padded and _hidden(net):
            raise SurgeryError(
                f"`batchnorm` on `{net.role}`: a recurrent agent is trained on sequences that are filled up to one "
                "length, and the filling would count in the statistics; tune it without"
            )
        own = statistics_modules(net.reference) if net.reference is not None else ()
        if own:
            raise SurgeryError(
                f"`batchnorm` on `{net.role}`: the network has a {type(own[0]).__name__} of its own; tune it without"
            )
        for layer in _hidden(net):
            _check(net, layer)
            axis = -1 if isinstance(layer.module, nn.Linear) else 1
            for module in layer.pair:
                like = stored(module)["weight"]
                insert(module, Renorm(like, axis=axis, momentum=self.momentum, patient=net.on_policy))

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Freeze what is not to adapt."""
        scales = {}
        for layer in _hidden(net):
            norm = _norm(layer.module)
            if self.train != "all":
                scales |= dict.fromkeys(stored(layer.module).values(), 0.0)
            if self.train == "statistics":
                scales |= {norm.scale: 0.0, norm.shift: 0.0}
        return scales

    @torch.no_grad()
    def init(self, net: Net, context: Context) -> dict[Parameter, Tensor]:
        """Take the first statistics; return the biases of the target network that they belong to."""
        layers = _hidden(net)
        if not layers:
            return {}
        seen: dict[nn.Module, Tensor] = {}
        norms = [_norm(layer.module) for layer in layers]
        handles = [norm.register_forward_pre_hook(lambda norm, args: seen.update({norm: args[0]})) for norm in norms]
        batch = net.now(context.source(self.states))
        with still(tuple(net.module.modules())):
            net.apply(net.module, batch)
        for handle in handles:
            handle.remove()
        for layer, norm in zip(layers, norms, strict=True):
            flat = seen[norm].movedim(norm.axis, -1).flatten(0, -2)
            for module in layer.pair:
                _norm(module).set_to(flat.mean(0), flat.var(0, correction=0))
        return {_bias(layer.module): _bias(layer.twin).clone() for layer in layers if layer.twin is not None}

    def rollout(self, net: Net, state: dict[Parameter, Tensor], signals: Signals) -> dict[Parameter, Tensor]:
        """Let statistics that stayed through a rollout move."""
        for layer in _hidden(net):
            _norm(layer.module).move()
        return self._follow(net, state)

    def after(self, net: Net, state: dict[Parameter, Tensor], signals: Signals) -> dict[Parameter, Tensor]:
        """Let the target network's statistics follow its weights."""
        return self._follow(net, state)

    @torch.no_grad()
    def _follow(self, net: Net, state: dict[Parameter, Tensor]) -> dict[Parameter, Tensor]:
        for layer in _hidden(net):
            if layer.twin is None:
                continue
            mine, its = _bias(layer.module), _bias(layer.twin)
            if torch.equal(its, mine) or not torch.equal(its, state[mine]):
                norm, follower = _norm(layer.module), _norm(layer.twin)
                follower.mean.copy_(norm.mean)
                follower.var.copy_(norm.var)
                state = {**state, mine: its.detach().clone()}
        return state

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the weights of networks that have a hidden layer here."""
        return net.whole().parameters() if _hidden(net) else []

    @torch.no_grad()
    def fold(self, net: Net, state: Any, context: Context) -> None:
        """Multiply scale and shift into the layers."""
        for layer in _hidden(net):
            for module in layer.pair:
                bake(module)
                s, t = _norm(module).affine()
                weight = stored(module)["weight"]
                weight.mul_(s.view(-1, *(1,) * (weight.dim() - 1)))
                _bias(module).mul_(s).add_(t)
                extract(module, Renorm)


def _hidden(net: Net) -> list[Layer]:
    return [layer for layer in net.layers() if not layer.head]


def _norm(module: nn.Module) -> Renorm:
    return next(extra for extra in additions(module) if isinstance(extra, Renorm))


def _bias(module: nn.Module) -> Parameter:
    return stored(module)["bias"]


def _check(net: Net, layer: Layer) -> None:
    if "bias" not in stored(layer.module):
        raise SurgeryError(
            f"`batchnorm` on `{net.role}`: {layer.path} has no bias that a shift could be folded into; leave it out "
            f"with `!{net.role}:{layer.path}`"
        )
    between = [extra for extra in additions(layer.module) if not isinstance(extra, Masked)]
    if between:
        raise SurgeryError(
            f"`batchnorm` on `{net.role}`: a {type(between[0]).__name__} of another method is at {layer.path} already, "
            "and what stands behind it does not fold into the layer; put `batchnorm` before that method, and once"
        )
