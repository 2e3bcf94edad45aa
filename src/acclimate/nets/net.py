"""One trainable network, as methods see it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from gymnasium import Space
from torch import Tensor, nn
from torch.nn import Parameter

from acclimate.errors import SurgeryError
from acclimate.nets.experience import Batch, of_prior
from acclimate.nets.layers import RECURRENT, following_activation, layer_paths
from acclimate.nets.outputs import Outputs
from acclimate.nets.select import Select


class View(Protocol):
    """How observations are normalised now, against how they were in pretraining."""

    def __call__(self, observations: Any) -> Any:
        """Turn observations as the networks read them now into what the pretrained ones would have read."""
        ...

    def back(self, observations: Any) -> Any:
        """Turn observations as the pretrained networks read them into what the networks read now."""
        ...


class Intake(Protocol):
    """How training scales what environments give and take, as it stands now."""

    @property
    def observation_space(self) -> Space[Any]:
        """What the environments show."""
        ...

    @property
    def action_space(self) -> Space[Any]:
        """What the environments take."""
        ...

    def observations(self, raw: Any) -> Any:
        """Turn arrays of observations, as environments give them, into what the networks read now."""
        ...

    def actions(self, raw: Any) -> Tensor:
        """Turn arrays of actions, as environments take them, into the policy's own units."""
        ...

    def rewards(self, raw: Tensor) -> Tensor:
        """Turn rewards, as environments give them, into those of a minibatch."""
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


@dataclasses.dataclass(frozen=True)
class Way:
    """How features become one of a network's outputs."""

    head: Layer
    """The linear layer that the output comes from."""
    inlets: tuple[nn.Module, ...]
    """What the features go into, and its double in the target network, as `head.pair`."""
    features: int
    """How many features there are."""


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
    """The paths in the module that belong to this network, in the order in which they run; the empty path is all of
    it."""
    twin: nn.Module | None = None
    """The target network's module, with the same paths."""
    heads: tuple[str, ...] = ()
    """The paths of the layers whose outputs are the network's; by default its last layer."""
    inlets: tuple[str, ...] = ()
    """For each head the path of the module that takes the features it is computed from; by default the first linear
    layer."""
    on_policy: bool = False
    """Whether training compares its outputs with those of the rollout, so that both must be made alike."""
    above: int = 0
    """How many layers of other networks stand between its last one and what is put out, as above a trunk."""
    decides: bool = False
    """Whether actions follow from what it puts out."""
    padded: bool = False
    """Whether training runs it on sequences that are filled up to one length, so that not each row is a step."""
    orthogonal: bool = False
    """Whether its layers began as orthogonal matrices, as those of PPO and A2C do, and not as PyTorch makes them."""
    seen_as: View | None = None
    """Maps observations as the network reads them now to what its frozen copy was pretrained on, where the
    normaliser moved."""
    reference: nn.Module | None = None
    """A frozen copy of the module as it was pretrained."""
    rates: Callable[[Batch], Tensor] | None = None
    """Of an actor: what each critic, (batch, critics), expects of the actions of a batch. None where no critic rates
    actions."""
    intake: Intake | None = None
    """How training scales what environments give; None where nobody tells."""
    acting: Acting = dataclasses.field(default_factory=Acting)
    """Is on while the network chooses the actions that it is trained on, and off while it is evaluated."""
    selection: Select = dataclasses.field(default_factory=Select)
    """What of it the method at hand was given."""
    pretrained: tuple[Parameter, ...] = ()
    """The parameters it had before any method added its own, selected or not."""

    @property
    def puts_out_policy(self) -> bool:
        """Whether what it puts out says how to act; PPO's trunk puts out what its actor does."""
        return self.decides or self.on_policy

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
        if batch.memory is not None:
            batch = dataclasses.replace(batch, memory=of_prior(batch.memory))
        return self.apply(self.reference, batch)

    def now(self, stored: Batch) -> Batch:
        """Return a batch of `Context` as the network reads it now.

        There observations are normalised as in pretraining, and rewards are those of the environment.
        """
        if self.intake is not None and stored.rewards is not None:
            stored = dataclasses.replace(stored, rewards=self.intake.rewards(stored.rewards))
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

    def loose_parameters(self) -> list[Parameter]:
        """List the pretrained parameters in view that are part of no layer, such as PPO's `log_std`."""
        known = {id(parameter) for parameter in self.pretrained}
        return [p for path, p in self.named_parameters() if id(p) in known and self._is_loose(path)]

    def _is_loose(self, path: str) -> bool:
        owner = self.module.get_submodule(path.rpartition(".")[0])
        return not any(name.startswith(("weight", "bias")) for name in owner._parameters)

    def layers(self) -> tuple[Layer, ...]:
        """List the linear and convolutional layers in view, in the order in which they run."""
        heads = self.heads or self._last()
        return tuple(self._layer(path, heads) for path in self._layer_paths() if self.holds(path))

    def recurrent(self) -> tuple[str, ...]:
        """List the paths of the recurrent layers in view."""
        return tuple(path for path in self.ordered(layer_paths(self.module, RECURRENT)) if self.holds(path))

    def recurrent_parameters(self) -> list[Parameter]:
        """List the weights of the recurrent layers in view; methods that freeze layers hold them as well."""
        return [p for path in self.recurrent() for p in self.module.get_submodule(path).parameters()]

    def ordered(self, paths: Iterable[str]) -> list[str]:
        """Return paths in the order of the scope, others last; within a part of it they stay as they are."""
        return sorted(paths, key=lambda path: next((i for i, b in enumerate(self.scope) if _below(path, b)), 1_000))

    def ways(self) -> tuple[Way, ...]:
        """List how features become outputs: one for each linear head in view."""
        inlets = dict(zip(self.heads, self.inlets, strict=True)) if self.inlets else {}
        linear = [path for path in self._layer_paths() if isinstance(self.module.get_submodule(path), nn.Linear)]
        first = next((path for path in linear if self._within(path)), "")
        heads = [layer for layer in self.layers() if layer.head and layer.path in linear]
        return tuple(self._way(layer, inlets.get(layer.path, first)) for layer in heads)

    def _way(self, head: Layer, inlet: str) -> Way:
        pair = [self.module.get_submodule(inlet)]
        if self.twin is not None:
            pair.append(self.twin.get_submodule(inlet))
        inside = [pair[0].get_submodule(path) for path in layer_paths(pair[0])]
        first = next((layer for layer in inside if isinstance(layer, nn.Linear)), head.module)
        return Way(head, tuple(pair), int(first.in_features))  # type: ignore[arg-type]

    def paths(self) -> list[str]:
        """List the paths of the parameters, for messages."""
        return [path for path, _ in self.named_parameters()]

    def _layer_paths(self) -> list[str]:
        return self.ordered(layer_paths(self.module))

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
        return any(_below(path, base) for base in self.scope)

    def holds(self, path: str) -> bool:
        """Tell whether what stands at `path` is in view."""
        return self._within(path) and self.selection.takes(self.role, path)


def _below(path: str, base: str) -> bool:
    """Tell whether something stands at a path or below it."""
    return not base or path == base or path.startswith(f"{base}.")
