"""What an off-policy agent's networks put out as they were pretrained, without torch's modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN
from torch import nn

from acclimate.engine.arrays.native.kernel import Program, kernel
from acclimate.engine.arrays.perceptron import Perceptron, dense_layers
from acclimate.engine.arrays.side import features
from acclimate.engine.arrays.weights import intrusion
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.nets.outputs import ActionValues, Gaussian, Outputs, Point, Values
from acclimate.nets.surgery import Computing

Array = NDArray[Any]
Prior = Callable[[Batch], Outputs]
_Run = Callable[[Array], Array]


@dataclass(frozen=True)
class PlainPrior:
    """A prior that is a plain perceptron of observations, so that each row of a batch depends on itself alone."""

    parameters: Sequence[torch.Tensor]
    """What it is computed by."""
    width: int
    """Numbers that a row puts out."""
    read: Callable[[Batch], Array]
    """Returns what the first layer reads, (rows, numbers)."""
    run: _Run
    """Returns what is put out of that, (rows, width), in a new array."""
    outputs: Callable[[Array], Outputs]
    """Returns the same as outputs."""

    def __call__(self, batch: Batch) -> Outputs:
        """Return what it puts out."""
        return self.outputs(self.run(self.read(batch)))


def prior_of(net: Net) -> Prior:
    """Return what puts out the prior's outputs on a batch: plain perceptrons in numpy, anything else as it is."""
    reference = net.reference
    if reference is None or type(reference.features_extractor) is not FlattenExtractor:
        return net.prior
    if intrusion(reference) or any(isinstance(part, Computing) for part in reference.modules()):
        return net.prior
    dtype = next(reference.parameters()).detach().numpy().dtype

    def read(batch: Batch) -> Array:
        seen = batch.observations if net.seen_as is None else net.seen_as(batch.observations)
        return features(seen.numpy(), dtype)

    if net.role == "critic":
        return _critics(reference, read) or net.prior
    if net.role == "q":
        found = _one(list(reference.q_net), ActionValues)
    else:
        found = _gaussian(reference) if hasattr(reference, "latent_pi") else _one(list(reference.mu), Point)
    return net.prior if found is None else PlainPrior(list(reference.parameters()), found[0], read, *found[1:])


def _one(layers: Sequence[nn.Module], kind: Callable[[torch.Tensor], Outputs]) -> Any:
    run = _run(layers)
    width = sum(layer.out_features for layer in layers[-2:] if isinstance(layer, nn.Linear))
    return None if run is None else (width, lambda x: run(x).copy(), lambda rows: kind(torch.from_numpy(rows)))


def _critics(module: Any, read: Callable[[Batch], Array]) -> Prior | None:
    runs = [_run(list(net)) for net in module.q_networks]
    if None in runs:
        return None

    def values(batch: Batch) -> Outputs:
        x = read(batch)
        both = np.concatenate([x, batch.actions.numpy().astype(x.dtype, copy=False)], axis=1)  # type: ignore[union-attr]
        return Values(torch.from_numpy(np.concatenate([run(both) for run in runs], axis=1)))  # type: ignore[misc]

    return values


def _gaussian(actor: Any) -> Any:
    trunk = _run(list(actor.latent_pi)) if len(actor.latent_pi) else lambda x: x
    mean, spread = _run([actor.mu]), _run([actor.log_std])
    if trunk is None or mean is None or spread is None:
        return None
    axes = actor.mu.out_features

    def run(x: Array) -> Array:
        latent = trunk(x)
        rows = np.concatenate([mean(latent), spread(latent)], axis=1)
        np.clip(rows[:, axes:], LOG_STD_MIN, LOG_STD_MAX, out=rows[:, axes:])
        return rows

    def outputs(rows: Array) -> Outputs:
        tensor = torch.from_numpy(rows)
        return Gaussian(tensor[:, :axes], tensor[:, axes:], True)

    return 2 * axes, run, outputs


def _run(layers: Sequence[nn.Module]) -> _Run | None:
    found = dense_layers(layers)
    if isinstance(found, str):
        return None
    modules: list[Any] = [layer.module for layer in found]
    weights = [module.weight.detach().numpy() for module in modules]
    biases = [
        np.zeros(len(weight), weight.dtype) if module.bias is None else module.bias.detach().numpy()
        for module, weight in zip(modules, weights, strict=True)
    ]
    net, built = Perceptron([layer.act for layer in found], weights, biases), kernel()
    if built is None or not Program.fits(net):
        return net.forward
    program = Program(net)

    def run(x: Array) -> Array:
        made, out = program.forward(x)
        built.run(made)
        return out

    return run
