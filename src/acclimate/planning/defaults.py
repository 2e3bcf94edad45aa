"""What a recipe leaves open for algorithms with a replay buffer, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acclimate.planning.arguments import OFF_POLICY
from acclimate.planning.recipe import Recipe

NOISE = 0.1
"""Std of the noise on the action of TD3 and DDPG, in units of an action in [-1, 1]; rl_zoo3's usual one."""
MOST_PRIOR_STEPS = 2_000
"""Steps that begin an off-policy buffer, the probe's and the prior's, at most; a tenth of the run where it is short."""


def noise(recipe: Recipe) -> tuple[float, str]:
    """Decide the std of the noise on the action of TD3 and DDPG, in units of an action in [-1, 1]."""
    wanted = recipe.warm_start.std
    if isinstance(wanted, str):
        return NOISE, "of the action noise; what the file holds of it is never decoded"
    return float(wanted), "asked for"


def falling(start: float, saved: Mapping[str, Any]) -> dict[str, float]:
    """Return DQN's arguments for a share of random actions that falls from `start` over the first tenth."""
    final = min(start, float(saved.get("exploration_final_eps", 0.05)))
    return {"exploration_initial_eps": start, "exploration_fraction": 0.1, "exploration_final_eps": final}


def epsilon(recipe: Recipe) -> tuple[float, str]:
    """Decide DQN's share of random actions at first."""
    wanted = recipe.warm_start.epsilon
    if wanted != "auto":
        return float(wanted), "asked for"
    return 0.1, "never back to 1: the prior acts, with some random actions"


def prior_fill(recipe: Recipe, algorithm: str, steps: int, probed: int) -> tuple[int, str]:
    """Decide the steps that the prior takes before the first update, of `steps` in all and after `probed` ones."""
    if algorithm not in OFF_POLICY:
        return 0, ""
    wanted = recipe.warm_start.prior_steps
    if wanted != "auto":
        return min(int(wanted), steps), "asked for"
    begin = min(MOST_PRIOR_STEPS, max(steps // 10, 1))
    # The probe's steps are of the policy's mode alone: half of the beginning is the prior as it explores.
    left = max(begin - probed, -(-begin // 2))
    return (
        left,
        "after the probe the prior, not random actions, fills the buffer; updates put off are made up for",
    )
