"""100,000 observations that no sensor should give: what reaches the policy, and what leaves the guard."""

from __future__ import annotations

from typing import Any

import numpy as np

from acclimate.guard.guarded import Guarded

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
    random, guard = np.random.default_rng(0), guarded.guard
    guarded.agent = spy = Spy(guarded.agent)  # type: ignore[assignment]
    mean, gain = guard.filter.neutral.numpy(), guard.filter.standard.gain.numpy()
    deviation = np.zeros_like(mean)
    deviation[guard.layout.numbers] = np.where(gain > 0, 0.2 / np.where(gain > 0, gain, 1.0), 0.0)[
        : len(guard.layout.numbers)
    ]
    memory, refused, outside = guarded.initial(ROWS), 0, 0
    for _ in range(number // ROWS):
        rows = mean + deviation * random.normal(size=(ROWS, len(mean)))
        hit = random.random(rows.shape) < random.choice([0.0, 0.05, 0.5], (ROWS, 1))
        rows = np.where(hit, random.choice(VALUES, rows.shape) * random.choice([1, -1], rows.shape), rows)
        actions, decision, memory = guarded.predict(rows, memory, random.random(ROWS) < 0.01)
        refused += int(decision.flags.any(1).sum())
        outside += sum(not guard.action_space.contains(action) for action in actions)
    guarded.agent = spy._agent
    return {"observations": number, "refused": refused, "reached_broken": spy.broken, "outside": outside}
