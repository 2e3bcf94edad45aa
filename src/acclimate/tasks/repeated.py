"""Whether the seed of a reset determines an episode, on which all pairing of agents by episodes rests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from acclimate.shifts.masks import by_chance
from acclimate.tasks.contract import Contract
from acclimate.tasks.task import Task
from acclimate.tasks.whole import Whole

STEPS = 8
"""Random steps by which two episodes of one seed are compared."""
WARNING = (
    "the seed of a reset does not determine the episode ({}). Agents are then compared on other episodes, not on the "
    "same, and a difference takes more of them to see; let `reset(seed=...)` draw all anew, and leave nothing behind"
)


class Repeated(NamedTuple):
    """What two episodes of one seed showed."""

    differs: str | None
    """What the seed does not determine, and what follows; None where nothing was seen."""
    steps: int
    """Environment steps that looking took."""


def repeated(task: Task, seed: int) -> Repeated:
    """Compare two episodes of one seed.

    One is the first of a new environment, the other comes after another episode of a second environment, so that what
    a constructor draws and what a reset leaves in place both show. No two environments are open at the same time.

    Raises:
        TaskError: The environment raised, or gave numbers that are not finite.
    """
    with closing(Contract(Whole.of(task), task.describe())) as env:
        first = list(_played(env, seed))
    with closing(Contract(Whole.of(task), task.describe())) as env:
        between = list(_played(env, seed + 1))
        again = list(_played(env, seed))
    steps = sum(len(played) - 1 for played in (first, between, again))
    for step, (one, other) in enumerate(zip(first, again, strict=False)):
        for what, left, right in zip(("observation", "reward", "end"), one, other, strict=True):
            if not same(left, right):
                place = f"step {step}" if step else "the reset"
                return Repeated(
                    f"{task.describe()}: {WARNING.format(f'another {what} at {place} of seed {seed}')}", steps
                )
    return Repeated(None, steps)


def _played(env: Contract, seed: int) -> Iterator[tuple[Any, float, bool]]:
    """Yield observation, reward and end of the reset and of a few steps that the seed draws."""
    observation, _ = env.reset(seed=seed)
    yield _kept(observation), 0.0, False
    env.action_space.seed(seed)
    ended, steps = False, 0
    while not ended and steps < STEPS:
        observation, reward, terminated, truncated, _ = env.step(by_chance(env))
        ended, steps = bool(terminated or truncated), steps + 1
        yield _kept(observation), float(reward), ended


def _kept(observation: Any) -> Any:
    """Return a copy: an environment may write the next one into the same array."""
    if isinstance(observation, Mapping):
        return {key: _kept(part) for key, part in observation.items()}
    return tuple(map(_kept, observation)) if isinstance(observation, tuple) else np.array(observation)


def same(one: Any, other: Any) -> bool:
    """Tell whether two observations are the same but for rounding."""
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    left, right = np.asarray(one), np.asarray(other)
    if left.shape != right.shape:
        return False
    if left.dtype.kind != "f":
        return bool(np.array_equal(left, right))
    return bool(np.allclose(left, right, rtol=1e-5, atol=1e-8))
