"""An attack that stays below a guard's limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from acclimate.attacks.attack import Attack, Attacker
from acclimate.attacks.evading import Evading
from acclimate.attacks.playing import Attacked, attacked
from acclimate.errors import ConfigError
from acclimate.evaluation.evaluate import evaluate
from acclimate.guard.guarded import Guarded, GuardedPlayer
from tests.unit.guard.world import agent, fitted, task

TIERS = ("bounds", "rate", "mahalanobis")
PLAYED: dict[str, Any] = {"episodes": 6, "n_envs": 3}


class Counting(GuardedPlayer):
    """Counts refusals, and keeps what it sees."""

    refused = 0

    def act(self, observations: Any, starts: Any, masks: Any) -> Any:
        actions = super().act(observations, starts, masks)
        self.refused += int(self.decision.flags.any(1).sum())
        return actions


def refusals(radius: float, *, evade: bool, tiers: tuple[str, ...] = TIERS) -> int:
    """Return how often the guard refuses what the attack shows."""
    guarded = Guarded(agent(), fitted(*tiers, alarms=0.1, episodes=80))
    attacker, player = Attacker(agent(), Attack("pgd", radius)), Counting(guarded)
    shows = Evading(attacker, guarded) if evade else attacker
    evaluate(agent(), task(), behind=lambda _: Attacked(player, shows, masked=False), **PLAYED)
    return player.refused


@pytest.mark.parametrize("tiers", [TIERS, pytest.param(("latent", "sequence", "knn"), marks=pytest.mark.nightly)])
def test_it_raises_no_flag_that_the_truth_does_not(tiers: tuple[str, ...]) -> None:
    honest, naive = (refusals(radius, evade=False, tiers=tiers) for radius in (0.0, 3.0))
    assert naive > honest + 100
    # After what it showed before even the truth may look strange, now and then.
    assert refusals(3.0, evade=True, tiers=tiers) < honest + 0.05 * naive


def test_it_does_more_than_nothing_and_stays_within_the_radius() -> None:
    guarded = Guarded(agent(), fitted(*TIERS, alarms=0.1, episodes=80))
    attacker = Attacker(agent(), Attack("pgd", 0.3))
    evading, moved = Evading(attacker, guarded), []
    raw = np.random.default_rng(0).normal(size=(20, 4, 3)).astype(np.float32) * 0.5
    for step, rows in enumerate(raw):
        moved.append(evading(rows, np.full(4, step == 0)) - rows)
    assert np.abs(moved).max() <= 0.3 + 1e-6
    assert (np.abs(moved).max(-1) > 0).mean() > 0.5


def test_a_guard_belongs_to_the_agent_that_is_attacked() -> None:
    guarded = Guarded(agent().copy(), fitted(*TIERS, alarms=0.1, episodes=80))
    with pytest.raises(ConfigError, match="before another agent"):
        attacked(agent(), task(), Attack("pgd", 0.1), guarded=guarded, **PLAYED)
    mine = Guarded(agent(), fitted(*TIERS, alarms=0.1, episodes=80))
    kinds = [attacked(agent(), task(), Attack("pgd", 3.0), guarded=mine, evade=evade, **PLAYED) for evade in (0, 1)]
    assert not np.array_equal(kinds[0].returns, kinds[1].returns)
