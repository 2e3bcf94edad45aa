"""100,000 observations that no sensor should give: what reaches the policy, and what leaves the guard."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.exporting.export import export
from acclimate.exporting.policy.policy import load_policy
from acclimate.guard.guarded import Guarded
from acclimate.tasks.task import Task

NUMBER, ROWS = 100_000, 250
VALUES = [np.nan, np.inf, -np.inf, 1e38, -1e38, 1e300, -1e300, 1e-40, 5e-324, -0.0, 2.0**31, -(2.0**63)]


class Spy:
    """An agent that counts what it must never see."""

    def __init__(self, agent: Any) -> None:
        self._agent, self.broken = agent, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._agent, name)

    def predict(self, obs: Any, *others: Any, **named: Any) -> Any:
        with np.errstate(over="ignore"):
            self.broken += int((~np.isfinite(np.asarray(obs, np.float32))).any(1).sum())
        return self._agent.predict(obs, *others, **named)


def hostile(guarded: Guarded, number: int = NUMBER) -> dict[str, int]:
    """Return how many rows were refused, reached the policy broken, and led to an action out of its bounds."""
    guard, agent = guarded.guard, guarded.agent
    guarded.agent = spy = Spy(agent)  # type: ignore[assignment]
    memory, refused, outside = guarded.initial(ROWS), 0, 0
    for rows, starts in batches(guarded, number):
        actions, decision, memory = guarded.predict(rows, memory, starts)
        refused += int(decision.flags.any(1).sum())
        outside += sum(not guard.action_space.contains(action) for action in actions)
    guarded.agent = agent
    return {"observations": number, "refused": refused, "reached_broken": spy.broken, "outside": outside}


def hostile_file(guarded: Guarded, task: Task, number: int = NUMBER) -> dict[str, int]:
    """Return the same of the exported file, and in how many rows its flags are not the agent's.

    A policy that sees what is no number puts out none, and what it puts out is mended then: no other action of it is.
    """
    with tempfile.TemporaryDirectory() as folder:
        policy = load_policy(export(guarded.agent, Path(folder) / "policy", guard=guarded.guard, task=task))
    state, memory, counts = None, guarded.initial(ROWS), Counter[str]()
    for rows, starts in batches(guarded, number):
        _, decision, memory = guarded.predict(rows, memory, starts)
        found = policy.decide(rows, state, starts)
        state = found.state
        counts["refused"] += int(found.flags.any(1).sum())  # type: ignore[union-attr]
        counts["reached_broken"] += int(found.mended.sum())  # type: ignore[union-attr]
        counts["outside"] += sum(not guarded.guard.action_space.contains(action) for action in found.actions)
        counts["other_flags"] += int((found.flags != decision.flags).any(1).sum())
    return {
        "observations": number,
        **{name: counts[name] for name in ("refused", "reached_broken", "outside", "other_flags")},
    }


def batches(guarded: Guarded, number: int) -> Iterator[tuple[Any, Any]]:
    """Yield observations of a batch, and which of them begin an episode."""
    random, guard = np.random.default_rng(0), guarded.guard
    mean, gain = guard.filter.neutral.numpy(), guard.filter.standard.gain.numpy()
    deviation, places = np.zeros_like(mean), guard.layout.numbers
    deviation[places] = np.where(gain > 0, 0.2 / np.where(gain > 0, gain, 1.0), 0.0)[: len(places)]
    for _ in range(number // ROWS):
        rows = mean + deviation * random.normal(size=(ROWS, len(mean)))
        hit = random.random(rows.shape) < random.choice([0.0, 0.05, 0.5], (ROWS, 1))
        rows = np.where(hit, random.choice(VALUES, rows.shape) * random.choice([1, -1], rows.shape), rows)
        with np.errstate(over="ignore"):
            yield rows.astype(guard.observation_space.dtype), random.random(ROWS) < 0.01
