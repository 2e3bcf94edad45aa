"""Where an SB3 model keeps the optimizers of its networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from torch.optim import Optimizer

from acclimate.nets.net import Net


def optimizers(model: BaseAlgorithm, nets: Iterable[Net]) -> Iterator[tuple[str, Optimizer]]:
    """Yield the optimizers of the networks with their path in the model, SAC's temperature left out."""
    known = {id(parameter) for net in nets for parameter in net.pretrained}
    names, _ = model._get_torch_save_params()
    for name in names:
        thing = follow(model, name)
        if isinstance(thing, Optimizer) and any(id(p) in known for g in thing.param_groups for p in g["params"]):
            yield name, thing


def follow(root: Any, path: str) -> Any:
    """Return what stands at a dotted path of attributes; the empty path is the root itself."""
    for name in path.split(".") if path else ():
        root = getattr(root, name)
    return root
