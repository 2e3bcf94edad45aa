"""Put units to use again that no longer say anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from acclimate.errors import ConfigError, SurgeryError, TrainingError
from acclimate.nets.experience import Batch
from acclimate.nets.initial import fresh
from acclimate.nets.modes import statistics_modules
from acclimate.nets.net import Layer, Net
from acclimate.nets.seeding import generator
from acclimate.nets.select import Select
from acclimate.nets.surgery import stored
from acclimate.nets.units import hidden, readers
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals

_State = dict[str, int]

_WORKS = 1.0
"""The mean size of what goes into a tanh that was saturated, after it was shrunk: its slope is 0.4 there."""


@dataclass(frozen=True, kw_only=True)
class ReDo(Method):
    """Recycle dormant ReLU units, and wake saturated tanh units, every few updates.

    ReLU: a unit i of a layer is dormant if its score mean |h_i| / mean_k mean |h_k| <= tau on the minibatch. Its
    incoming weights are drawn as at birth, its outgoing weights set to 0.
    Tanh: there a small |h| is no defect, but a unit with mean |h_i| > saturated hardly passes a gradient. What goes
    into it is shrunk, z' = z / mean |z|, and what reads it is fitted to the new h' = tanh(z'): h_i ~ a h'_i + k by
    least squares on the minibatch, so that outgoing weights v become a * v, and k * v joins the bias of the reader.
    The optimizer forgets its moments of all these weights, and the target network is treated alike.

    Source: Sokar et al. 2023, "The Dormant Neuron Phenomenon in Deep Reinforcement Learning" (arXiv:2302.12902), for
    ReLU. The part for tanh is ours: it has no published evidence. The authors' code recycles only units that are dead
    outright unless it is told otherwise (tau = 0); the tau here also takes those that hardly speak.

    A layer is left alone if it or what reads it is frozen, if nothing but the network's output reads it, or if
    something between the two changes units on the way. Use it in long off-policy runs with many updates a step. It
    loses in short runs, where few units fall silent, and where units are silent because the new world has not yet
    shown them what they are for.
    """

    name: ClassVar[str] = "redo"
    family: ClassVar[str] = "reset"
    by_layer: ClassVar[bool] = True

    tau: float = 0.025
    """Score up to which a ReLU unit is dormant. Higher: more units are recycled, and what they still said is lost."""
    saturated: float = 0.95
    """Mean |h| above which a tanh unit is saturated. Higher: only those that are stuck for good."""
    every: int = 1000
    """Updates of the network from one look to the next. Fewer: units are recycled sooner, and newly drawn ones have
    less time to become useful."""
    on: Select = Select("critic|q")
    """Which networks or layers. On actors it acts too; what it changes there is what the agent does next."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.tau < 1.0:
            raise ConfigError(
                f"redo.tau is {self.tau}; give a share of the layer's mean from 0 to 1, 0.025 for example"
            )
        if not 0.0 < self.saturated < 1.0:
            raise ConfigError(f"redo.saturated is {self.saturated}; give a size between 0 and 1, 0.95 for example")
        if self.every < 1:
            raise ConfigError(f"redo.every is {self.every}; give a number of updates from 1 on")

    def init(self, net: Net, context: Context) -> _State:
        """Count updates from here.

        Raises:
            SurgeryError: if the network was pretrained with normalisation layers.
        """
        scaled = statistics_modules(net.reference) if net.reference is not None else ()
        if scaled:
            raise SurgeryError(
                f"`redo` on `{net.role}`: a {type(scaled[0]).__name__} of the network scales its units, so that what "
                "they put out tells nothing of what is read; leave it out"
            )
        return {"seed": context.seed, "updates": 0}

    @torch.no_grad()
    def after(self, net: Net, state: _State, signals: Signals) -> _State:
        """Count an update, and look at the units when the time has come.

        Raises:
            TrainingError: if a loop of one's own tells no minibatch.
        """
        state = {**state, "updates": state["updates"] + 1}
        if state["updates"] % self.every:
            return state
        if signals.batch is None:
            raise TrainingError("`redo` looks at units on the minibatch; call tuner.penalty(batch) before each step")
        whole = {layer.path: layer for layer in net.whole().layers()}
        reading = readers(net, signals.batch)
        for place, layer in enumerate(_treatable(net)):
            read_by = reading.get(layer.path, {})
            if read_by and set(read_by) <= set(whole) and _trained(layer, *(whole[path] for path in read_by)):
                unit = _Units(
                    net, layer, [(whole[path], index) for path, index in read_by.items()], signals.batch, signals
                )
                if isinstance(layer.activation, nn.ReLU):
                    times = state["updates"] // self.every
                    unit.recycle(self.tau, generator(state["seed"], net.role, times, place))
                else:
                    unit.wake(self.saturated)
        return state

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the weights of the hidden layers with a ReLU or a tanh."""
        return [parameter for layer in _treatable(net) for parameter in layer.module.parameters()]


def _treatable(net: Net) -> list[Layer]:
    return [layer for layer in net.layers() if not layer.head and isinstance(layer.activation, (nn.ReLU, nn.Tanh))]


def _trained(*layers: Layer) -> bool:
    return all(tensor.requires_grad for layer in layers for tensor in stored(layer.module).values())


class _Units:
    """The units of one layer, and where they are read."""

    def __init__(
        self, net: Net, layer: Layer, readers: list[tuple[Layer, Tensor]], batch: Batch, signals: Signals
    ) -> None:
        self.net = net
        self.layer = layer
        self.readers = readers
        self.batch = batch
        self.signals = signals

    def read(self, *, activated: bool = True) -> Tensor:
        """Return what the units put out on the minibatch, or what goes into them, (rows and places, units)."""
        out = hidden(self.net, self.batch, activated=activated)[self.layer.path]
        return out.movedim(1, -1).flatten(0, -2)

    def recycle(self, tau: float, source: torch.Generator) -> None:
        """Draw what goes into dormant units anew, and let nobody hear them."""
        size = self.read().abs().mean(0)
        dormant = size / (size.mean() + 1e-9) <= tau
        if not bool(dormant.any()):
            return
        drawn = fresh(self.net, self.layer, source)
        for module in self.layer.pair:
            for name, tensor in stored(module).items():
                tensor[dormant] = drawn[name][dormant]
        for reader, index in self.readers:
            for module in reader.pair:
                stored(module)["weight"][:, _columns(index, dormant)] = 0.0
        self._forget(dormant)

    def wake(self, saturated: float) -> None:
        """Shrink what goes into saturated units, and fit what reads them."""
        before = self.read()
        asleep = before.abs().mean(0) > saturated
        if not bool(asleep.any()):
            return
        size = self.read(activated=False).abs().mean(0)
        factor = torch.where(asleep, (_WORKS / size).clamp(max=1.0), 1.0)
        for module in self.layer.pair:
            for tensor in stored(module).values():
                tensor.mul_(factor.view(-1, *(1,) * (tensor.dim() - 1)))
        slope, offset = _fit(self.read(), before)
        slope, offset = torch.where(asleep, slope, 1.0), torch.where(asleep, offset, 0.0)
        for reader, index in self.readers:
            chosen = _columns(index, asleep)
            unit = index.to(slope.device)[chosen]
            for module in reader.pair:
                _follow(module, chosen, slope[unit], offset[unit])
        self._forget(asleep)

    def _forget(self, units: Tensor) -> None:
        """Ask for the moments of what goes into and out of these units to be forgotten."""
        for tensor in stored(self.layer.module).values():
            self._ask(tensor, units.view(-1, *(1,) * (tensor.dim() - 1)).expand_as(tensor))
        for reader, index in self.readers:
            weight = stored(reader.module)["weight"]
            inputs = _columns(index, units)
            self._ask(weight, inputs.view(1, -1, *(1,) * (weight.dim() - 2)).expand_as(weight))

    def _ask(self, parameter: Parameter, mask: Tensor) -> None:
        self.signals.forget[parameter] = mask | self.signals.forget.get(parameter, torch.zeros_like(mask))


def _columns(index: Tensor, units: Tensor) -> Tensor:
    """Return which inputs of a reader are one of these units."""
    index = index.to(units.device)
    return (index >= 0) & units[index.clamp(min=0)]


def _fit(inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return a and k of outputs ~ a * inputs + k, column by column, by least squares."""
    mean_in, mean_out = inputs.mean(0), outputs.mean(0)
    spread = (inputs - mean_in).square().mean(0)
    shared = ((inputs - mean_in) * (outputs - mean_out)).mean(0)
    slope = torch.where(spread > 1e-12, shared / spread.clamp(min=1e-12), 0.0)
    return slope, mean_out - slope * mean_in


def _follow(reader: nn.Module, chosen: Tensor, slope: Tensor, offset: Tensor) -> None:
    """Let a reader hear a * h' + k where it heard h: exact for a linear layer, nearly for a padded convolution."""
    own = stored(reader)
    heard = own["weight"][:, chosen]
    if "bias" in own:
        own["bias"].add_(heard.flatten(2).sum(-1) @ offset if heard.dim() > 2 else heard @ offset)
    own["weight"][:, chosen] = heard * slope.view(1, -1, *(1,) * (heard.dim() - 2))
