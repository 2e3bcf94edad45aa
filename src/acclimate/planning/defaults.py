"""The rules of thumb behind `auto`: what each open value of a recipe becomes, and the reason.

What they were chosen on is in `docs/decisions.md`, "The default warm start".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from acclimate.errors import ConfigError
from acclimate.planning.probe import Situation
from acclimate.planning.recipe import Recipe
from acclimate.sb3.noise import Noise
from acclimate.sb3.vocabulary import OFF_POLICY, VALUE_BASED

NOISE = 0.1
"""Std of the noise on the action of TD3 and DDPG, in units of an action in [-1, 1]; rl_zoo3's usual one."""
FRESH_CRITIC = 20_480
"""Steps, at most a fifth of the run, in which a critic that was newly drawn learns before its actor follows it."""
KEPT_SKILL = 0.9
"""At this retained share and above, the shift is easy: there is more to lose than to gain."""
EXPLORING_STD = math.exp(-1.5)
"""The std to which a Gaussian policy is opened on a hard shift, in units of the action."""


def noise(recipe: Recipe, saved: Noise | None) -> tuple[float | None, str]:
    """Decide the std of the noise on actions of TD3 and DDPG, in units of one in [-1, 1]; None keeps their own."""
    wanted = recipe.warm_start.std
    if isinstance(wanted, str) and saved is not None:
        return None, f"as saved: {saved}"
    if isinstance(wanted, str):
        return NOISE, "of the action noise; the agent brings none"
    return float(wanted), "asked for"


def falling(start: float, saved: Mapping[str, Any]) -> dict[str, float]:
    """Return DQN's arguments for a share of random actions that falls from `start` over the first tenth."""
    final = min(start, float(saved.get("exploration_final_eps", 0.05)))
    return {"exploration_initial_eps": start, "exploration_fraction": 0.1, "exploration_final_eps": final}


def epsilon(recipe: Recipe, saved: Mapping[str, Any]) -> tuple[float, str]:
    """Decide DQN's share of random actions at first."""
    wanted = recipe.warm_start.epsilon
    if wanted != "auto":
        return float(wanted), "asked for"
    return float(saved.get("exploration_final_eps", 0.05)), "as at the end of the pretraining, not back to 1"


def prior_fill(recipe: Recipe, algorithm: str, steps: int) -> tuple[int, str]:
    """Decide the steps that the prior takes before the first update, of `steps` in all."""
    if algorithm not in OFF_POLICY:
        return 0, ""
    wanted = recipe.warm_start.prior_steps
    if wanted != "auto":
        return min(int(wanted), steps), "asked for"
    return 0, "the agent acts and learns from the first step on, without random actions"


def learning_rate(recipe: Recipe, algorithm: str, saved: Mapping[str, Any], easy: bool) -> tuple[Any, str]:
    """Decide the step size of the optimizer."""
    if "learning_rate" in recipe.algorithm:
        return recipe.algorithm["learning_rate"], "asked for"
    wanted = recipe.warm_start.learning_rate
    rate = saved.get("learning_rate")
    if wanted == "saved":
        if rate is None:
            raise ConfigError(
                "warm_start.learning_rate is `saved`, but the file holds it as a function, which is never run: "
                "give the number."
            )
        return rate, "as saved"
    if wanted != "auto":
        return float(wanted), "asked for"
    if algorithm in OFF_POLICY:
        return (rate, "as saved") if rate is not None else (3e-4, "the file holds a function; 3e-4 instead")
    if algorithm == "trpo":
        why = "of the critic" if rate is not None else "of the critic: the file holds a function; SB3's default instead"
        return (1e-3 if rate is None else rate), why
    if algorithm == "a2c":
        return 7e-4, "A2C's ordinary rate: the rates of late pretraining are too small for a changed world"
    if easy:
        return 1e-4, "little was lost in the changed world: small steps"
    return 3e-4, "an ordinary rate: those of late pretraining are too small for a changed world"


def std(recipe: Recipe, situation: Situation, easy: bool) -> tuple[float | None, str]:
    """Decide the least std of a Gaussian policy; None keeps the saved one."""
    wanted = recipe.warm_start.std
    if situation.std is None or wanted == "keep":
        return None, "kept as saved"
    if wanted != "auto":
        return float(wanted), "asked for"
    if easy:
        return None, "kept: little was lost in the changed world"
    if situation.std >= EXPLORING_STD:
        return None, "kept: the policy still explores"
    return EXPLORING_STD, f"opened from {situation.std:.3g}: pretraining had used up its exploration"


def temperature(recipe: Recipe, situation: Situation, easy: bool) -> tuple[float, str]:
    """Decide what divides the logits of a discrete policy."""
    if recipe.warm_start.std == "keep" or easy or situation.temperature is None:
        return 1.0, "kept: the policy still explores" if situation.temperature is None else "kept"
    share = f"{situation.entropy:.0%}"
    return situation.temperature, f"opened from {share} of the greatest entropy: pretraining had used it up"


def tie(recipe: Recipe, *, home: bool) -> tuple[float, str]:
    """Decide the weight of the tie to what the agent does at home; 0 is none.

    Raises:
        ConfigError: It is asked for, and no home is known.
    """
    wanted = recipe.warm_start.tie
    if wanted != "auto":
        if wanted and not home:
            raise ConfigError(
                "warm_start.tie ties to what the agent does in its own world, and none is known: give one "
                "(--source-env, `source`), or choose the method `kl`, which ties it in the changed one."
            )
        return float(wanted), "asked for"
    return 0.0, "none; `warm_start.tie=1` or the method `bc` keeps more of what it can do at home"


def critic_warmup(recipe: Recipe, algorithm: str, *, fresh: bool) -> tuple[int, str]:
    """Decide for how many steps the actor waits for its critic, which is `fresh` where the agent had none."""
    wanted = recipe.warm_start.critic_warmup
    if wanted != "auto":
        if wanted and algorithm in VALUE_BASED:
            raise ConfigError(
                f"warm_start.critic_warmup is {wanted}, but {algorithm.upper()} has no actor that could wait for its "
                "critic: leave it out."
            )
        return int(wanted), "asked for"
    if fresh:
        return min(FRESH_CRITIC, recipe.steps // 5), "its critic is newly drawn: the actor waits until it has learnt"
    return 0, "actor and critic learn from the first step on"


def averaging(recipe: Recipe) -> tuple[float, str]:
    """Decide the weight of the past in the average over updates that is kept."""
    if recipe.averaging != "auto":
        return float(recipe.averaging), "asked for"
    return 0.0, "the last weights"
