"""What the methods of a run add to a gradient that was computed without autograd.

Penalties on what a network puts out are differentiated at its outputs, with the prior's outputs of a whole rollout
computed once. Penalties on the weights are differentiated at the parameters. Any other penalty, and the hooks around a
step, run as under SB3, on the same parameters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.engine.arrays.flat import Flat
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.nets.outputs import Outputs
from acclimate.tuning.composition import Composition, Part

Array = NDArray[Any]


def _rows(outputs: Outputs, index: Any) -> Outputs:
    """Return the rows of what was put out; what does not depend on the row stays."""
    rows = max(len(value) for value in vars(outputs).values() if isinstance(value, torch.Tensor) and value.dim() > 1)
    chosen = {
        name: value[index]
        for name, value in vars(outputs).items()
        if isinstance(value, torch.Tensor) and value.dim() > 1 and len(value) == rows
    }
    return dataclasses.replace(outputs, **chosen)


class Penalties:
    """The penalties of the methods on one update's minibatches."""

    def __init__(self, composition: Composition, flat: Flat, roles: Iterable[str] | None = None) -> None:
        """Take the penalties on the networks with these roles, all by default; their parameters are in `flat`."""
        self._composition, self._flat = composition, flat
        self._priors: dict[str, Outputs] = {}
        self.prior_of: dict[str, Callable[[Batch], Outputs]] = {}
        """What puts out a prior's outputs in the place of its network, by role."""
        names = ("weight_penalty", "output_penalty", "module_penalty")
        self._all = {name: list(composition.each(name, roles=roles)) for name in names}

    def __bool__(self) -> bool:
        """Whether there is any."""
        return any(self._all.values())

    @property
    def priors_wanted(self) -> dict[str, Callable[[Batch], Outputs]]:
        """Those of `prior_of` that a penalty on outputs compares with."""
        roles = {net.role for _, net in self._all["output_penalty"]}
        return {role: prior for role, prior in self.prior_of.items() if role in roles}

    def begin(self, batch: Batch) -> None:
        """Begin an update on these rows: what the prior puts out on them is computed when it is first wanted."""
        self._batch = batch
        self._priors = {}

    def _prior(self, net: Net, index: Array | None) -> Outputs:
        if net.role not in self._priors:
            with torch.no_grad():
                self._priors[net.role] = self.prior_of.get(net.role, net.prior)(self._batch)
        prior = self._priors[net.role]
        return prior if index is None else _rows(prior, torch.from_numpy(index))

    def _active(self, hook: str) -> list[tuple[Part, Net]]:
        signals = self._composition.signals
        return [(part, net) for part, net in self._all[hook] if not part.method.idle(signals)]

    @property
    def at_outputs_now(self) -> bool:
        """Whether any penalty on outputs is on."""
        return bool(self._active("output_penalty"))

    def at_outputs(self, role: str, outputs: Outputs, leaf: torch.Tensor, index: Array | None = None) -> Array | None:
        """Return the gradient of the output penalties of one network at its outputs; that of others goes to `.grad`.

        Args:
            role: of the network.
            outputs: what it puts out, made of `leaf`, which requires a gradient, and of parameters.
            leaf: (rows, out), the tensors of the outputs side by side.
            index: which rows of the update these are; all of them by default.
        """
        terms, found = [], None
        for part, net in self._active("output_penalty"):
            if net.role != role:
                continue
            prior, signals = self._prior(net, index), self._composition.signals
            with torch.no_grad():
                closed = part.method.output_slopes(outputs, prior, signals)
            if closed is None:
                terms.append(self._noted(part, net, part.method.output_penalty(outputs, prior, signals)))
            else:
                self._noted(part, net, closed[0])
                found = _sum(found, self._at_leaf(outputs, closed[1]))
        return _sum(found, self._by_autograd(terms, outputs, leaf)) if terms else found

    def _at_leaf(self, outputs: Outputs, slopes: Mapping[str, torch.Tensor]) -> Array | None:
        """Return the gradient at the leaf, whose columns are the tensors of the outputs side by side."""
        columns = []
        for name, value in vars(outputs).items():
            if isinstance(value, torch.nn.Parameter):
                if value.requires_grad:
                    self._extra.append((value, slopes[name].sum(0).numpy()))
            elif isinstance(value, torch.Tensor):
                columns.append(slopes[name].numpy())
        return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1) if columns else None

    def _by_autograd(self, terms: list[torch.Tensor], outputs: Outputs, leaf: torch.Tensor) -> Array | None:
        total = torch.stack(terms).sum()
        parameters = [value for value in vars(outputs).values() if isinstance(value, torch.nn.Parameter)]
        wanted = [leaf, *(p for p in parameters if p.requires_grad)]
        gradients = torch.autograd.grad(total, wanted, allow_unused=True)
        for parameter, gradient in zip(wanted[1:], gradients[1:], strict=True):
            if gradient is not None:
                self._extra.append((parameter, gradient.numpy()))
        return None if gradients[0] is None else gradients[0].numpy()

    def open(self) -> None:
        """Begin a minibatch."""
        self._extra: list[tuple[Any, Array]] = []
        self._said: dict[tuple[int, str], torch.Tensor] = {}

    def _noted(self, part: Part, net: Net, value: torch.Tensor) -> torch.Tensor:
        """Note a penalty where methods read it; those of one method on one network are summed."""
        key = id(part), net.role
        self._said[key] = self._said.get(key, torch.zeros(())) + value.detach()
        self._composition.signals.penalties[f"{part.method.name}/{net.role}"] = self._said[key]
        return value

    def at_parameters(self, batch: Batch) -> None:
        """Add the gradients of all other penalties to the flat gradient, after the loss's own was written."""
        for parameter, gradient in self._extra:
            self._flat.gradient_of(parameter)[...] += gradient
        signals = self._composition.signals
        terms = []
        for part, net in self._active("weight_penalty"):
            terms.append(self._noted(part, net, part.method.weight_penalty(net, part.states[net.role], signals)))
        for part, net in self._active("module_penalty"):
            terms.append(self._noted(part, net, part.method.module_penalty(net, part.states[net.role], batch, signals)))
        terms = [term for term in terms if term.requires_grad]
        if not terms:
            return
        trained = [p for p in self._flat.parameters if p.requires_grad]
        gradients = torch.autograd.grad(torch.stack(terms).sum(), trained, allow_unused=True)
        for parameter, gradient in zip(trained, gradients, strict=True):
            if gradient is not None:
                self._flat.gradient_of(parameter)[...] += gradient.numpy()


def _sum(first: Array | None, second: Array | None) -> Array | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second


def clip(gradient: Array, most: float, *others: Array) -> None:
    """Scale gradients, as one, down to a norm, as `torch.nn.utils.clip_grad_norm_` does."""
    parts = gradient, *others
    norm = float(np.sqrt(sum(np.dot(part, part) for part in parts)))
    scale = most / (norm + 1e-6)
    if scale < 1.0:
        for part in parts:
            part *= scale
