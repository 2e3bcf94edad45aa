"""Give critics dropout and layer normalisation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from acclimate.errors import ConfigError, SurgeryError
from acclimate.nets.experience import Batch
from acclimate.nets.masks import Dropping
from acclimate.nets.modes import still
from acclimate.nets.net import Layer, Net
from acclimate.nets.outputs import ActionValues, Outputs, Values
from acclimate.nets.seeding import generator
from acclimate.nets.select import Select
from acclimate.nets.surgery import additions, insert, stored
from acclimate.nets.units import hidden
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method

_ROWS = 256


class Norm(nn.LayerNorm):
    """The layer normalisation of one layer."""


@dataclass(frozen=True, kw_only=True)
class DroQ(Method):
    """Make each hidden layer of a critic Linear -> dropout -> layer norm -> activation, and fit it to what it was.

    h = act(g * norm(m * (W x + b) / (1 - p)) + c), where m_i = 0 with probability p, else 1, and norm takes the mean
    and the deviation over the units of a row away. That is another function than the pretrained one, so the critic is
    calibrated before training: g and c of each unit by least squares to what went into its activation before, then all
    trained weights by `fits` steps of Adam on the squared error to the pretrained critic's outputs. The target network
    becomes a copy. The actor is not touched.

    Source: Hiraoka et al. 2022, "Dropout Q-Functions for Doubly Efficient Reinforcement Learning" (arXiv:2110.02034),
    where p is 0.01, 20 updates are made in each step, the actor follows the mean of two critics and targets are
    computed with dropout too. Updates a step are the algorithm's (`gradient_steps`); here the actor follows what its
    algorithm follows, and targets have no dropout.

    Use it with many updates a step on few data. It loses with one update a step, where it costs the calibration and
    brings little, and wherever the critic must stay exactly as it was. A layer norm depends on the row, so it cannot be
    folded: the agent with its critic has no stock form, only the actor has.
    """

    name: ClassVar[str] = "droq"
    family: ClassVar[str] = "dropout"
    by_layer: ClassVar[bool] = True
    preserves: ClassVar[bool] = False
    foldable: ClassVar[bool] = False

    p: float = 0.01
    """Probability that a unit is dropped. Higher: less overfitting to few data, noisier values."""
    states: int = 1000
    """States that the critic is calibrated on. More: closer to the pretrained critic elsewhere; they are charged."""
    world: Literal["target", "source"] = "target"
    """Where the states are from: the task to come, or that of pretraining, where the critic was right."""
    fits: int = 500
    """Steps of the calibration. More: closer to the pretrained critic, at the cost of time alone."""
    rate: float = 1e-3
    """Learning rate of the calibration. Higher: faster, less exact."""
    on: Select = Select("critic")
    """Which critics, or which of their layers. Only linear layers are changed. `q` can be named, and then the actions
    change with the values."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.p < 1.0:
            raise ConfigError(f"droq.p is {self.p}; give a probability between 0 and 1, 0.01 for example")
        if self.states < 2:
            raise ConfigError(f"droq.states is {self.states}; give 2 at least, 1000 for example")
        if self.world not in ("target", "source"):
            raise ConfigError(f"droq.world is {self.world!r}; give target or source")
        if self.fits < 0:
            raise ConfigError(f"droq.fits is {self.fits}; give 0 or more, 500 for example")
        if self.rate <= 0:
            raise ConfigError(f"droq.rate is {self.rate}; give a learning rate above 0, 0.001 for example")

    def inject(self, net: Net, context: Context) -> None:
        """Put a dropout and a layer norm behind each hidden linear layer, and behind its twin.

        Raises:
            SurgeryError: on a network whose outputs training compares with those of the rollout.
        """
        if net.on_policy:
            raise SurgeryError(
                f"`droq` on `{net.role}`: it changes what the policy does; choose the `critic`, or `dropout` for it"
            )
        for layer in _hidden(net):
            for module in layer.pair:
                weight = stored(module)["weight"]
                norm = Norm(len(weight), device=weight.device, dtype=weight.dtype)
                insert(module, Dropping(self.p))
                insert(module, norm)

    def init(self, net: Net, context: Context) -> Any:
        """Fit the changed network to the pretrained one, and its twin to it."""
        if _hidden(net):
            known = (context.target if self.world == "target" else context.source)(self.states)
            batch = net.now(known)
            with still(tuple(net.module.modules())):
                _align(net, batch, known)
                self._fit(net, batch, generator(context.seed, net.role))
            _copy(net)
        return ()

    def _fit(self, net: Net, batch: Batch, source: torch.Generator) -> None:
        trained = [p for p in net.parameters() if p.requires_grad]
        if not trained:
            return
        with torch.no_grad():
            wanted = _values(net, net.prior(batch))
        scale = wanted.var().clamp(min=1e-8)
        optimizer = torch.optim.Adam(trained, lr=self.rate)
        for step in range(self.fits):
            # The rate falls to zero, so that the last steps settle.
            optimizer.param_groups[0]["lr"] = self.rate * 0.5 * (1.0 + math.cos(math.pi * step / self.fits))
            rows = torch.randint(len(batch), (min(_ROWS, len(batch)),), generator=source)
            error = (_values(net, net.apply(net.module, batch.rows(rows))) - wanted[rows]).square().mean() / scale
            for parameter, gradient in zip(
                trained, torch.autograd.grad(error, trained, allow_unused=True), strict=True
            ):
                parameter.grad = gradient
            optimizer.step()
        for parameter in trained:
            parameter.grad = None

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the weights of networks that have a hidden linear layer here."""
        return net.whole().parameters() if _hidden(net) else []


def _hidden(net: Net) -> list[Layer]:
    return [layer for layer in net.layers() if not layer.head and isinstance(layer.module, nn.Linear)]


def _values(net: Net, outputs: Outputs) -> Tensor:
    if not isinstance(outputs, (Values, ActionValues)):
        raise SurgeryError(f"`droq` on `{net.role}`: it fits values, and this network puts out none; choose the critic")
    return outputs.values


@torch.no_grad()
def _align(net: Net, batch: Batch, known: Batch) -> None:
    """Let each norm give what went into the activation before, unit by unit, as nearly as a line can."""
    wanted = hidden(net, known, net.reference, activated=False)
    for layer in _hidden(net):
        norm = next(extra for extra in additions(layer.module) if isinstance(extra, Norm))
        given = hidden(net, batch, activated=False)[layer.path]
        gap, goal = given - given.mean(0), wanted[layer.path]
        slope = (gap * (goal - goal.mean(0))).mean(0) / gap.square().mean(0).clamp(min=1e-12)
        norm.weight.copy_(slope)
        norm.bias.copy_(goal.mean(0) - slope * given.mean(0))


@torch.no_grad()
def _copy(net: Net) -> None:
    """Make the twin what the network is now."""
    if net.twin is not None:
        # Not by `get_parameter`: what another method computes a weight from has the weight's name.
        twins = dict(net.twin.named_parameters())
        for path, parameter in net.named_parameters():
            twins[path].copy_(parameter)
