"""How far from a network's outputs its weights stand, counted in layers."""

from __future__ import annotations

from bisect import bisect

from torch.nn import Parameter

from acclimate.nets.net import Net


def depths(net: Net) -> dict[Parameter, int]:
    """Return how many layers stand between each parameter in view and what is put out: 0 for the heads.

    Layers side by side, as in the two critics of SAC, count once, and so does an LSTM, however many layers it has. A
    normalisation counts as the layer that follows it, and what a method added to a layer as that layer. What is part of
    no layer, such as `log_std`, is left out.

    Example:
        >>> import torch
        >>> net = Net("q", torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)), None)
        >>> list(depths(net).values())
        [1, 1, 0, 0]
    """
    layers = _by_layer(net)
    paths = net.ordered(path for path, _ in net.module.named_modules())
    places = [paths.index(path) for path in layers]
    loose = {id(parameter) for parameter in net.loose_parameters()}
    found = {}
    for path, parameter in net.named_parameters():
        owner = path.rpartition(".")[0]
        home = next((layer for layer in layers if owner == layer or owner.startswith(f"{layer}.")), None)
        if home is None and id(parameter) not in loose and layers:
            after = bisect(places, paths.index(owner))
            home = list(layers)[min(after, len(layers) - 1)]
        if home is not None:
            found[parameter] = layers[home]
    return found


def height(net: Net) -> int:
    """Return how many layers the longest way through the network has, with those above it."""
    return max(_by_layer(net).values(), default=net.above - 1) + 1


def _by_layer(net: Net) -> dict[str, int]:
    whole, found, depth = net.whole(), {}, net.above - 1
    heads = {layer.path: layer.head for layer in whole.layers()}
    for path in reversed(net.ordered([*whole.recurrent(), *heads])):
        depth = net.above if heads.get(path) else depth + 1
        found[path] = depth
    return dict(reversed(found.items()))
