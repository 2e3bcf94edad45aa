"""What an off-policy agent's networks put out as they were pretrained, without torch's modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN
from torch import nn

from acclimate.engine.mlp import Perceptron, dense_layers
from acclimate.engine.native.kernel import Program, kernel
from acclimate.engine.side import features
from acclimate.engine.weights import intrusion
from acclimate.experience import Batch
from acclimate.net import Net
from acclimate.outputs import ActionValues, Gaussian, Outputs, Point, Values
from acclimate.surgery import Computing

Array = NDArray[Any]
Prior = Callable[[Batch], Outputs]
_Run = Callable[[Array], Array]


def prior_of(net: Net) -> Prior:
    """Return what puts out the prior's outputs on a batch: plain perceptrons in numpy, anything else as it is."""
    reference = net.reference
    if reference is None or type(reference.features_extractor) is not FlattenExtractor:
        return net.prior
    if intrusion(reference) or any(isinstance(part, Computing) for part in reference.modules()):
        return net.prior
    run = _outputs(net.role, reference)
    if run is None:
        return net.prior
    dtype = next(reference.parameters()).detach().numpy().dtype

    def prior(batch: Batch) -> Outputs:
        seen = batch.observations if net.seen_as is None else net.seen_as(batch.observations)
        return run(features(seen.numpy(), dtype), batch)

    return prior


def _outputs(role: str, module: Any) -> Callable[[Array, Batch], Outputs] | None:
    """Return what makes outputs of observations as a first layer reads them, None where it is no perceptron."""
    if role == "q":
        return _one(list(module.q_net), ActionValues)
    if role == "critic":
        return _critics(module)
    if hasattr(module, "latent_pi"):
        return _gaussian(module)
    return _one(list(module.mu), Point)


def _one(layers: Sequence[nn.Module], kind: Callable[[torch.Tensor], Outputs]) -> Any:
    run = _run(layers)
    return None if run is None else lambda x, batch: kind(torch.from_numpy(run(x).copy()))


def _critics(module: Any) -> Any:
    runs = [_run(list(net)) for net in module.q_networks]
    if None in runs:
        return None

    def values(x: Array, batch: Batch) -> Outputs:
        both = np.concatenate([x, batch.actions.numpy().astype(x.dtype, copy=False)], axis=1)  # type: ignore[union-attr]
        return Values(torch.from_numpy(np.concatenate([run(both) for run in runs], axis=1)))  # type: ignore[misc]

    return values


def _gaussian(actor: Any) -> Any:
    trunk = _run(list(actor.latent_pi)) if len(actor.latent_pi) else lambda x: x
    mean, spread = _run([actor.mu]), _run([actor.log_std])
    if trunk is None or mean is None or spread is None:
        return None

    def outputs(x: Array, batch: Batch) -> Outputs:
        latent = trunk(x)
        log_std = np.clip(spread(latent), LOG_STD_MIN, LOG_STD_MAX)
        return Gaussian(torch.from_numpy(mean(latent).copy()), torch.from_numpy(log_std), True)

    return outputs


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
