"""One trainable network, as methods see it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from torch import nn
from torch.nn import Parameter

from acclimate.errors import SurgeryError
from acclimate.outputs import Outputs
from acclimate.select import Select
from acclimate.surgery import LAYERS, following_activation

if TYPE_CHECKING:
    from acclimate.method import Batch


class View(Protocol):
    """How observations are normalised now, against how they were in pretraining."""

    def __call__(self, observations: Any) -> Any:
        """Turn observations as the networks read them now into what the pretrained ones would have read."""
        ...

    def back(self, observations: Any) -> Any:
        """Turn observations as the pretrained networks read them into what the networks read now."""
        ...


@dataclasses.dataclass
class Acting:
    """Whether a network is choosing the actions of a rollout right now."""

    on: bool = False


@dataclasses.dataclass(frozen=True)
class Layer:
    """A linear or convolutional layer, with its double in the target network."""

    path: str
    """Where it stands in the network."""
    module: nn.Module
    twin: nn.Module | None
    """The same layer of the target network. What is done to one is done to the other, or Polyak averaging
    breaks."""
    activation: nn.Module | None
    """The activation that directly follows in the same sequence."""
    twin_activation: nn.Module | None
    head: bool
    """Whether the network's output comes from it, so that no hidden units follow."""

    @property
    def pair(self) -> tuple[nn.Module, ...]:
        """The layer, and its twin if there is one."""
        return (self.module,) if self.twin is None else (self.module, self.twin)

    @property
    def outlets(self) -> tuple[nn.Module, ...]:
        """The modules that put out the layer's units: its activation where that is known, as a pair."""
        first = self.activation or self.module
        if self.twin is None:
            return (first,)
        return first, self.twin_activation or self.twin


@dataclasses.dataclass(frozen=True, eq=False)
class Net:
    """A trainable network, its target twin and what it was before training.

    Several networks can live in one module, as the actor and the critic of PPO do: `scope` says which part is
    this one. Paths are those of the module.
    """

    role: str
    """`actor`, `critic`, `q`, `trunk` (features that actor and critic share), or what a foreign loop calls
    it."""
    module: nn.Module
    apply: Callable[[nn.Module, Batch], Outputs]
    """Runs the module, or a copy of it, on a batch."""
    scope: tuple[str, ...] = ("",)
    """The paths in the module that belong to this network; the empty path is all of it."""
    twin: nn.Module | None = None
    """The target network's module, with the same paths."""
    heads: tuple[str, ...] = ()
    """The paths of the layers whose outputs are the network's; by default its last layer."""
    on_policy: bool = False
    """Whether training compares its outputs with those of the rollout, so that both must be made alike."""
    decides: bool = False
    """Whether actions follow from what it puts out."""
    orthogonal: bool = False
    """Whether its layers began as orthogonal matrices, as those of PPO and A2C do, and not as PyTorch makes them."""
    seen_as: View | None = None
    """Maps observations as the network reads them now to what its frozen copy was pretrained on, where the
    normaliser moved."""
    reference: nn.Module | None = None
    """A frozen copy of the module as it was pretrained."""
    acting: Acting = dataclasses.field(default_factory=Acting)
    """Is on while the network chooses the actions that it is trained on, and off while it is evaluated."""
    selection: Select = dataclasses.field(default_factory=Select)
    """What of it the method at hand was given."""
    pretrained: tuple[Parameter, ...] = ()
    """The parameters it had before any method added its own, selected or not."""

    def narrow(self, selection: Select) -> Net:
        """Return the same network with only the chosen parts in view."""
        return dataclasses.replace(self, selection=selection)

    def whole(self) -> Net:
        """Return the same network with all of it in view."""
        return dataclasses.replace(self, selection=Select())

    def prior(self, batch: Batch) -> Outputs:
        """Return what the network as it was pretrained puts out on a batch.

        Raises:
            SurgeryError: if nobody kept a copy of it.
        """
        if self.reference is None:
            raise SurgeryError(f"`{self.role}` has no frozen copy; make the tuner before training begins")
        if self.seen_as is not None:
            batch = dataclasses.replace(batch, observations=self.seen_as(batch.observations))
        return self.apply(self.reference, batch)

    def now(self, stored: Batch) -> Batch:
        """Return a batch of `Context`, which is normalised as in pretraining, as the network reads it now."""
        if self.seen_as is None:
            return stored
        after = stored.next_observations
        return dataclasses.replace(
            stored,
            observations=self.seen_as.back(stored.observations),
            next_observations=None if after is None else self.seen_as.back(after),
        )

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """List the parameters in view with their paths, those that methods added among them."""
        return [(path, parameter) for path, parameter in self.module.named_parameters() if self.holds(path)]

    def parameters(self) -> list[Parameter]:
        """List the parameters in view, those that methods added among them."""
        return [parameter for _, parameter in self.named_parameters()]

    def pretrained_parameters(self) -> list[Parameter]:
        """List the parameters in view that the network was pretrained with."""
        known = {id(parameter) for parameter in self.pretrained}
        return [parameter for parameter in self.parameters() if id(parameter) in known]

    def layers(self) -> tuple[Layer, ...]:
        """List the linear and convolutional layers in view, in the order of the module."""
        heads = self.heads or self._last()
        return tuple(self._layer(path, heads) for path in self._layer_paths() if self.holds(path))

    def paths(self) -> list[str]:
        """List the paths of the parameters, for messages."""
        return [path for path, _ in self.named_parameters()]

    def _layer_paths(self) -> list[str]:
        return [path for path, module in self.module.named_modules() if isinstance(module, LAYERS)]

    def _last(self) -> tuple[str, ...]:
        return tuple(path for path in self._layer_paths() if self._within(path))[-1:]

    def _layer(self, path: str, heads: tuple[str, ...]) -> Layer:
        twin = None if self.twin is None else self.twin.get_submodule(path)
        return Layer(
            path=path,
            module=self.module.get_submodule(path),
            twin=twin,
            activation=following_activation(self.module, path),
            twin_activation=None if self.twin is None else following_activation(self.twin, path),
            head=path in heads,
        )

    def _within(self, path: str) -> bool:
        return any(not base or path == base or path.startswith(f"{base}.") for base in self.scope)

    def holds(self, path: str) -> bool:
        """Tell whether what stands at `path` is in view."""
        return self._within(path) and self.selection.takes(self.role, path)
