"""What a run's figures say about its health, one plain sentence each.

The alarms are the common ones of the field; sources in `docs/decisions.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from acclimate.agent import Agent
from acclimate.callbacks.selection import lower_bound
from acclimate.normalizer import Normalizer
from acclimate.probe import Situation
from acclimate.training import Trained

CLIP_FRACTION = 0.3
DRIFT = 2.0
STD_COLLAPSE = 0.05
DIP_ERRORS = 2.0
"""Standard errors by which a measurement must lie below the pretrained agent's episodes to count as a dip."""
LATE = 5
"""Logged values that count as the end of training."""


def diagnose(agent: Agent, situation: Situation, trained: Trained) -> Iterator[str]:
    """Yield the sentences, alarms and facts."""
    yield from _skill(situation)
    yield from _dip(trained)
    if trained.kl is not None:
        yield f"The tuned policy is {trained.kl:.3g} nats (KL) from its prior on the last observations."
    yield from _updates(trained)
    if agent.normalizer is not None and trained.last is not None and trained.last.normalizer is not None:
        yield from _drift(agent.normalizer, trained.last.normalizer)


def _skill(situation: Situation) -> Iterator[str]:
    kept = situation.retained
    if kept is not None:
        yield (
            f"Untouched, the agent kept {kept:.0%} of its skill in the changed world "
            f"({situation.target_return:.4g} of {situation.source_return:.4g}; random actions give "
            f"{situation.random_return:.4g})."
        )


def _dip(trained: Trained) -> Iterator[str]:
    points = trained.record.points
    if not points:
        return
    gains = [float((p.returns - trained.pretrained_returns).mean()) for p in points]
    worst = min(range(len(gains)), key=gains.__getitem__)
    if lower_bound(trained.pretrained_returns - points[worst].returns, DIP_ERRORS) > 0:
        yield (
            f"At step {points[worst].steps} the return dipped {-gains[worst]:.4g} below the pretrained agent's: a "
            "stronger tie to the prior or a lower learning rate would soften it."
        )


def _updates(trained: Trained) -> Iterator[str]:
    clip = _late(trained.log.get("clip_fraction", ()))
    if clip is not None and clip > CLIP_FRACTION:
        yield f"{clip:.0%} of the last updates were clipped: the steps are large; consider a lower learning rate."
    explained = _late(trained.log.get("explained_variance", ()))
    if explained is not None and explained < 0:
        yield (
            f"The critic explains nothing of the returns (explained variance {explained:.2f}): consider "
            "warm_start.critic_warmup."
        )
    std = _late(trained.log.get("std", ()))
    if std is not None and std < STD_COLLAPSE:
        yield f"The policy's std fell to {std:.3g}: it hardly explores any more; consider warm_start.std."


def _drift(before: Normalizer, after: Normalizer) -> Iterator[str]:
    drift = before.drift(after)
    shift = np.abs(drift.mean_shift)
    worst = int(shift.argmax())
    if shift[worst] > DRIFT:
        yield (
            f"Observation {drift.features[worst]} moved by {shift[worst]:.1f} standard deviations of pretraining: the "
            "networks see inputs that they do not know; consider warm_start.normalizer: freeze."
        )
    else:
        yield f"The observation statistics moved by at most {shift[worst]:.2f} standard deviations."


def _late(values: Sequence[float]) -> float | None:
    return float(np.mean(values[-LATE:])) if len(values) else None
