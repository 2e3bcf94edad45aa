"""How alive a network's units are, how rich its features, and how far both have moved from the pretrained ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acclimate.nets.experience import Batch
from acclimate.nets.modes import still
from acclimate.nets.net import Net
from acclimate.nets.units import hidden

DORMANT = 0.025
"""Share of its layer's mean activity up to which a unit is dormant, as in Sokar et al. 2023 (arXiv:2302.12902)."""
SATURATED = 0.99
"""A hyperbolic tangent beyond it passes less than a fiftieth of its gradient on."""
MOSTLY = 0.9
"""Share of the states on which a unit must be saturated to count."""
TINY = 1e-12
AT_ONCE = 1024
"""Units whose share of a kernel is computed at once."""


def dormant(units: Tensor, threshold: float = DORMANT) -> float:
    """Return the share of dormant units: score_i = mean|h_i| / mean_k mean|h_k| <= threshold.

    Args:
        units: (rows, units), or (rows, channels, ...) with a channel as a unit, after a ReLU.
        threshold: higher counts more units.
    """
    activity = units.detach().abs().transpose(0, 1).flatten(1).mean(1)
    return float((activity <= threshold * activity.mean()).float().mean())


def saturated(units: Tensor) -> float:
    """Return the share of units that are at a bound of their hyperbolic tangent on most states."""
    at_bound = (units.detach().abs() >= SATURATED).float().transpose(0, 1).flatten(1).mean(1)
    return float((at_bound >= MOSTLY).float().mean())


def effective_rank(features: Tensor) -> float:
    """Return exp(entropy) of the singular values scaled to sum 1: how many directions the features use.

    Roy and Vetterli 2007; `features` are (rows, units).
    """
    spectrum = _spectrum(features)
    total = spectrum.sum()
    if total <= TINY:
        return 0.0
    share = spectrum[spectrum > 0] / total
    return float(np.exp(-(share * np.log(share)).sum()))


def stable_rank(features: Tensor) -> float:
    """Return the squared Frobenius norm over the squared largest singular value."""
    spectrum = np.square(_spectrum(features))
    return float(spectrum.sum() / spectrum[0]) if spectrum[0] > TINY else 0.0


def _spectrum(features: Tensor) -> NDArray[np.float64]:
    """Return the singular values, the largest first."""
    # numpy's routine: torch's brings 5 MiB of code into memory that nothing else of a run uses.
    return np.linalg.svd(features.detach().double().cpu().numpy(), compute_uv=False)


def cka(first: Tensor, second: Tensor) -> float | None:
    """Return the linear centred kernel alignment of two sets of features of the same rows, in [0, 1].

    |Y^T X|^2 / (|X^T X| |Y^T Y|) with centred columns, computed from the rows' kernels, which are small.
    Kornblith et al. 2019 (arXiv:1905.00414). None where one of them is constant.
    """
    kernels = []
    for features in (first, second):
        kernel = None
        for some in features.detach().flatten(1).split(AT_ONCE, dim=1):
            centred = some.double()
            centred -= centred.mean(0)
            product = centred @ centred.T
            kernel = product if kernel is None else kernel.add_(product)
            del centred, product
        kernels.append(kernel)
    norms = kernels[0].norm() * kernels[1].norm()
    return float((kernels[0] * kernels[1]).sum() / norms) if norms > TINY else None


def row_norm(preactivations: Tensor) -> float:
    """Return the mean Euclidean norm of what goes into an activation, over the rows."""
    return float(preactivations.detach().flatten(1).norm(dim=1).mean())


def relative_change(now: Tensor, then: Tensor) -> float:
    """Return |now - then| / |then|, Frobenius norms."""
    return float((now.detach() - then.detach()).norm() / then.detach().norm().clamp(min=TINY))


def distance(net: Net) -> float:
    """Return the relative change of all weights and biases of a network's pretrained layers together."""
    stock = dataclasses.replace(net, module=net.reference, twin=None)
    pairs = [
        (getattr(layer.module, tensor), getattr(net.module.get_submodule(layer.path), tensor))
        for layer in stock.layers()
        for tensor in ("weight", "bias")
    ]
    moved = size = 0.0
    for then, now in (*pairs, *zip(stock.recurrent_parameters(), net.whole().recurrent_parameters(), strict=True)):
        if then is not None and now is not None:
            moved += float((now.detach() - then).square_().sum())
            size += float(then.square().sum())
    return (moved / max(size, TINY)) ** 0.5


def examine(net: Net, now: Batch, then: Batch) -> dict[str, float | None]:
    """Return what is measured of one network, by `layer/measure`.

    Args:
        net: with its frozen copy; layers that methods added are left out.
        now: states, normalised as the network reads them now.
        then: the same states, normalised as in pretraining.
    """
    stock = dataclasses.replace(net, module=net.reference, twin=None)
    layers = {layer.path: layer for layer in stock.layers()}
    ends = _ends(stock)
    before, after = hidden(stock, then), hidden(net, now)
    into = _preactivations(net, now, ends)
    found: dict[str, float | None] = {}
    for path in stock.recurrent():
        weights = [list(module.get_submodule(path).parameters()) for module in (net.module, stock.module)]
        found[f"{path}/change"] = relative_change(*(torch.cat([p.flatten() for p in each]) for each in weights))
    for path, layer in layers.items():
        live = net.module.get_submodule(path)
        found[f"{path}/change"] = relative_change(live.weight, layer.module.weight)  # type: ignore[arg-type]
        if path not in after or path not in before:
            continue
        units, old = after.pop(path), before.pop(path)
        if isinstance(layer.activation, nn.ReLU):
            found[f"{path}/dormant"] = dormant(units)
        if isinstance(layer.activation, nn.Tanh):
            found[f"{path}/saturated"] = saturated(units)
        found[f"{path}/cka"] = cka(units, old)
        if path in ends:
            features = units.flatten(1)
            found[f"{path}/effective_rank"] = effective_rank(features)
            found[f"{path}/stable_rank"] = stable_rank(features)
        if path in into:
            found[f"{path}/preactivation"] = row_norm(into.pop(path))
    return found


def _ends(net: Net) -> set[str]:
    """Return the last hidden layer before each head: the features that decide."""
    ends, latest = set(), None
    for layer in net.layers():
        if not layer.head:
            latest = layer.path
        elif latest is not None:
            ends.add(latest)
    if not ends and latest is not None:
        ends.add(latest)
    return ends


def _preactivations(net: Net, batch: Batch, paths: set[str]) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    handles = [
        net.module.get_submodule(path).register_forward_hook(lambda _, __, out, path=path: seen.update({path: out}))
        for path in paths
    ]
    try:
        with still(tuple(net.module.modules())), torch.no_grad():
            net.apply(net.module, batch)
    finally:
        for handle in handles:
            handle.remove()
    return seen
