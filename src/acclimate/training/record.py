"""What a run remembers of the measurements during training; a checkpoint holds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from acclimate.evaluation.evaluate import Evaluation, Point
from acclimate.sb3.normalizer import Normalizer


@dataclass(frozen=True)
class Snapshot:
    """A copy of everything that decides how the agent acts."""

    steps: int
    """Target steps charged when it was taken."""
    policy: Mapping[str, torch.Tensor]
    normalizer: Normalizer | None


@dataclass
class Record:
    """The measurements so far, and the best agent of them."""

    points: list[Point] = field(default_factory=list)
    best: Snapshot | None = None
    best_lower: float = -np.inf
    """Lower confidence bound of its gain over the pretrained agent."""
    highest: Snapshot | None = None
    """The one with the highest mean, as anybody would choose it: a study compares by it. No checkpoint holds it."""
    highest_mean: float = -np.inf


def to_json(points: Iterable[Point]) -> list[dict[str, Any]]:
    """Return measurements as JSON-able data; what all of them share is left out."""
    return [
        {
            "steps": point.steps,
            "returns": point.evaluation.returns.tolist(),
            "lengths": point.evaluation.lengths.tolist(),
        }
        for point in points
    ]


def from_json(data: Sequence[Mapping[str, Any]], like: Evaluation) -> list[Point]:
    """Read what `to_json` returned.

    Args:
        data: of the measurements.
        like: the pretrained agent's episodes on the same seeds.

    Raises:
        ValueError: One is of another number of episodes.
    """
    if any(len(point["returns"]) != len(like.returns) for point in data):
        raise ValueError(f"a measurement is not of {len(like.returns)} episodes")
    return [
        Point(
            point["steps"],
            replace(like, returns=np.asarray(point["returns"]), lengths=np.asarray(point["lengths"])),
        )
        for point in data
    ]
