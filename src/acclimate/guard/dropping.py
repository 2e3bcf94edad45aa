"""Whether the network that decides was trained with dropout, and which hidden units are left out to ask it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from acclimate.agents.agent import Agent
from acclimate.errors import AcclimateError
from acclimate.files.bounded import read_text
from acclimate.files.plain import read_json
from acclimate.nets.net import Net
from acclimate.nets.select import Select

MASKS = 10
"""How often the policy is asked."""
_METHODS = ("dropout", "droq")
_MODULES = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def dropout_of(agent: Agent, nets: Sequence[Net]) -> float | None:
    """Return with which probability units of some networks were left out in training, None where none were.

    Its own layers tell of it, or the folder of the run that tuned the agent, in which it lies.
    """
    found = [p for net in nets for p in _layers(net)]
    if agent.origin.path is not None:
        found += [p for net in nets for p in _tuned(Path(agent.origin.path).parent, net)]
    return max((p for p in found if 0.0 < p < 1.0), default=None)


def masks_of(units: int, p: float) -> Tensor:
    """Return masks, (masks, units), 0 for what is left out and else 1 / (1 - p)."""
    kept = np.random.default_rng(0).random((MASKS, units)) >= p
    return torch.from_numpy((kept / (1.0 - p)).astype(np.float32))


def _layers(net: Net) -> list[float]:
    """Return the probabilities of a network's layers for dropout."""
    parts = dict(net.module.named_modules())
    roots = [parts[path] for path in net.scope if path in parts]  # others are parameters
    return [float(part.p) for root in roots for part in root.modules() if isinstance(part, _MODULES)]


def _tuned(folder: Path, net: Net) -> list[float]:
    """Return the probabilities of the methods of a run that dropped units of this network."""
    try:
        methods = read_json(read_text(folder / "run.json"))["recipe"]["methods"]
        asked = [(name, settings) for each in methods for name, settings in each.items() if name in _METHODS]
        return [float(settings["p"]) for _, settings in asked if _takes(settings["on"], net)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AcclimateError):
        return []  # no run's folder, or one of another age


def _takes(on: Any, net: Net) -> bool:
    select = Select(*([on] if isinstance(on, str) else on))
    return any(select.takes(net.role, layer.path) for layer in net.layers() if not layer.head)
