"""What each tier learns from clean episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acclimate.errors import ConfigError
from acclimate.guard.features import FAR, Standard
from acclimate.guard.filter import Filter, Hysteresis
from acclimate.guard.layout import Layout, Rows
from acclimate.guard.shrinkage import whitening
from acclimate.guard.tiers.lasting import NEAR, Statistics, moments
from acclimate.guard.tiers.lasting import Sequence as Cusum
from acclimate.guard.tiers.reasons import Reason
from acclimate.guard.tiers.tier import Bounds, Latent, Mahalanobis, Nearest, NotFinite, Rate, Tier
from acclimate.guard.tiers.voting import Dropped, Ensemble

MARGIN = 0.1
"""What is allowed beyond what was seen, in widths of its range, where the space declares no bound."""
MOST_STEPS = 20_000
"""Steps that distances are learnt from, spread evenly."""
REFERENCES = 1_000
"""Steps that the nearest are looked for among."""
NETWORKS, HIDDEN = 5, 32
"""Of the tier `uncertainty`."""
RIDGE = 1e-3
"""Of the mean square of a hidden unit, which holds weights where the episodes say nothing."""


@dataclass(frozen=True)
class Clean:
    """Clean episodes, an array of (steps, ...) for each."""

    low: Rows
    """(entries,), the smallest that was seen."""
    high: Rows
    features: list[Rows]
    latents: list[Rows]
    outputs: list[Rows]

    def standardised(self, standard: Standard) -> list[Rows]:
        """Return the features of each episode as the tiers see them."""
        return [standard(torch.from_numpy(each)).numpy() for each in self.features]


@dataclass(frozen=True)
class Lesson:
    """What a tier learns from."""

    clean: Clean
    z: list[Rows]
    layout: Layout
    window: int
    masks: Tensor | None


def learn(
    clean: Clean,
    layout: Layout,
    tiers: Sequence[Reason],
    window: int,
    hysteresis: Hysteresis,
    masks: Tensor | None = None,
) -> Filter:
    """Return a filter without limits.

    Args:
        clean: the episodes.
        layout: of the observations.
        tiers: which.
        window: steps of the tier `statistics`.
        hysteresis: when the fallback acts.
        masks: which hidden units the tier `uncertainty` leaves out, of a policy that was trained with dropout.
    """
    standard = Standard.of(torch.from_numpy(np.concatenate(clean.features)))
    lesson = Lesson(clean, clean.standardised(standard), layout, window, masks)
    return Filter(layout, standard, [_LESSONS[reason](lesson) for reason in tiers], _neutral(clean, layout), hysteresis)


def _neutral(clean: Clean, layout: Layout) -> Tensor:
    """Return what stands for an observation before one was trusted: the mean, of choices and pixels the lowest seen.

    Its numbers are some that the space's type has: in others a graph and an agent would differ by the rounding.
    """
    neutral = clean.low.astype(np.float32).copy()
    whole = np.concatenate(clean.features)
    neutral[layout.numbers] = whole[:, : len(layout.numbers)].mean(0)
    (shown,) = layout.rows(layout.observations(np.clip(neutral, clean.low, clean.high)[None]))
    return torch.from_numpy(shown)


def _bounds(lesson: Lesson) -> Bounds:
    """Allow what the space declares and what was seen; where nothing is declared, a margin more."""
    low, high = lesson.clean.low.astype(np.float64), lesson.clean.high.astype(np.float64)
    width = np.maximum(high - low, 1e-3 * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high))))
    declared_low, declared_high = lesson.layout.bounds()
    allowed_low = np.where(np.isfinite(declared_low), np.minimum(declared_low, low), low - MARGIN * width)
    allowed_high = np.where(np.isfinite(declared_high), np.maximum(declared_high, high), high + MARGIN * width)
    return Bounds(*(torch.from_numpy(each.astype(np.float32)) for each in (allowed_low, allowed_high, width)))


def _rate(lesson: Lesson) -> Rate:
    fastest = np.max([np.abs(np.diff(each, axis=0)).max(0, initial=0.0) for each in lesson.z], axis=0)
    return Rate(torch.from_numpy(_inverse(fastest)))


def _mahalanobis(lesson: Lesson) -> Mahalanobis:
    return Mahalanobis(*_spread(lesson.z))


def _latent(lesson: Lesson) -> Latent:
    return Latent(*_spread(lesson.clean.latents))


def _spread(episodes: list[Rows]) -> tuple[Tensor, Tensor]:
    """Return mean and whitening matrix."""
    steps = _some(np.concatenate(episodes), MOST_STEPS).astype(np.float64).clip(-FAR, FAR)
    mean, whiten = steps.mean(0), whitening(steps)
    return torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(whiten.astype(np.float32))


def _nearest(lesson: Lesson) -> Nearest:
    return Nearest(torch.from_numpy(_some(np.concatenate(lesson.z), REFERENCES)))


def _statistics(lesson: Lesson) -> Statistics:
    """Learn from the windows of all episodes that are long enough."""
    long = [each.clip(-NEAR, NEAR) for each in lesson.z if len(each) >= lesson.window]
    if not long:
        raise ConfigError(
            f"no episode has {lesson.window} steps, the window of the tier `statistics`; give a shorter one"
        )
    windows = [np.lib.stride_tricks.sliding_window_view(each, lesson.window, axis=0) for each in long]
    # Each episode gives as many, so that memory is bounded before windows are copied.
    some = np.concatenate([_some(each, max(1, MOST_STEPS // len(long))) for each in windows])
    found = moments(torch.from_numpy(some.swapaxes(1, 2).copy())).double()
    deviation = _inverse(found.std(0, correction=0).numpy())
    return Statistics(found.mean(0).float(), torch.from_numpy(deviation), lesson.window)


def _sequence(lesson: Lesson) -> Cusum:
    return Cusum(lesson.z[0].shape[1])


def _uncertainty(lesson: Lesson) -> Tier:
    """Ask the policy itself where it was trained with dropout, else small networks that imitate it."""
    if lesson.masks is None:
        return _ensemble(lesson)
    outputs = np.concatenate(lesson.clean.outputs).astype(np.float64)
    return Dropped(lesson.masks, torch.from_numpy(_inverse(outputs.std(0))))


def _ensemble(lesson: Lesson) -> Ensemble:
    """Fit each network to episodes drawn with replacement, by ridge regression on what the policy puts out."""
    random, features = np.random.default_rng(0), lesson.z[0].shape[1]
    outputs = np.concatenate(lesson.clean.outputs).astype(np.float64)
    mean, scale = outputs.mean(0), outputs.std(0).clip(min=1e-6)
    first = random.normal(size=(NETWORKS, features, HIDDEN)) / np.sqrt(features)
    shift = random.normal(size=(NETWORKS, 1, HIDDEN))
    blank = np.zeros((NETWORKS, HIDDEN, outputs.shape[1]))
    made = Ensemble(*(torch.from_numpy(each.astype(np.float32)) for each in (first, shift, blank)))
    for network in range(NETWORKS):
        drawn = random.integers(len(lesson.z), size=len(lesson.z))
        z = _some(np.concatenate([lesson.z[i] for i in drawn]), MOST_STEPS)
        wanted = _some(np.concatenate([lesson.clean.outputs[i] for i in drawn]), MOST_STEPS)
        hidden = made.hidden(torch.from_numpy(z))[network].double()
        square = hidden.T @ hidden / len(z) + RIDGE * torch.eye(HIDDEN, dtype=torch.float64)
        about = hidden.T @ torch.from_numpy((wanted - mean) / scale) / len(z)
        made.heads[network] = torch.linalg.solve(square, about).float()
    return made


def _some(steps: NDArray[Any], most: int) -> NDArray[Any]:
    """Return at most so many of the steps, spread evenly."""
    return steps if len(steps) <= most else steps[np.linspace(0, len(steps) - 1, most).astype(int)]


def _inverse(deviation: NDArray[Any]) -> Rows:
    """Return one over each, and zero for what never moved."""
    still = deviation <= 1e-6
    return np.where(still, 0.0, 1 / np.where(still, 1.0, deviation)).astype(np.float32)


_LESSONS: Mapping[Reason, Callable[[Lesson], Tier]] = {
    Reason.NOT_FINITE: lambda _: NotFinite(),
    Reason.BOUNDS: _bounds,
    Reason.RATE: _rate,
    Reason.MAHALANOBIS: _mahalanobis,
    Reason.LATENT: _latent,
    Reason.KNN: _nearest,
    Reason.STATISTICS: _statistics,
    Reason.SEQUENCE: _sequence,
    Reason.UNCERTAINTY: _uncertainty,
}
