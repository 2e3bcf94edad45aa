"""The plan: every `auto` of a recipe decided from the situation, each with its reason.

The rules were chosen on tasks that are not reported (`docs/decisions.md`, "The default warm start").
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError
from acclimate.planning.arguments import (
    NOISY,
    OFF_POLICY,
    ON_POLICY,
    ROLLOUT,
    VALUE_BASED,
    check_overrides,
    off_policy,
    on_policy,
    rollout_steps,
    trainable_algorithm,
    whole_rollouts,
)
from acclimate.planning.defaults import epsilon, falling, noise, prior_fill
from acclimate.planning.probe import Situation
from acclimate.planning.recipe import Recipe
from acclimate.sb3.vocabulary import ALGORITHMS

KEPT_SKILL = 0.9
"""At this retained share and above, the shift is easy: there is more to lose than to gain."""
EXPLORING_STD = math.exp(-1.5)
"""The std to which a Gaussian policy is opened on a hard shift, in units of the action."""
WARMUP_ROLLOUTS = 2
"""PPO and A2C rollouts in which the actor waits for its critic: two put it right enough, more cost too many steps."""
WARMUP_SHARE = 0.05
"""The warm-up takes at most this share of the run."""
AVERAGING = 0.8
"""Weight of the past at each rollout's update."""


@dataclass(frozen=True)
class Choice:
    """One decided value and the reason for it."""

    name: str
    value: Any
    why: str


@dataclass(frozen=True)
class Plan:
    """A recipe with nothing left open."""

    algorithm: str
    """The algorithm that trains: the agent's own, or PPO for TRPO."""
    steps: int
    """Target steps left for training after the probe's."""
    n_envs: int
    hyperparameters: dict[str, Any]
    """SB3 constructor arguments of the fresh model."""
    normalizer: str
    std: float | None
    """Least std of a Gaussian policy, or None to keep the saved one."""
    temperature: float
    """Divides the logits of a discrete policy; 1 leaves it as it is."""
    tie: float
    critic_warmup: int
    prior_steps: int
    averaging: float
    """Weight of the past in the average over updates that is measured and kept."""
    choices: tuple[Choice, ...] = field(default=())

    def why(self) -> list[tuple[str, str, str]]:
        """Return the choices as rows of text: what, value, reason."""
        return [(c.name, f"{c.value:.4g}" if isinstance(c.value, float) else str(c.value), c.why) for c in self.choices]


def make_plan(agent: Agent, recipe: Recipe, situation: Situation) -> Plan:
    """Decide every open value of a recipe.

    Raises:
        ConfigError: The agent cannot be tuned, or an override is not an argument of its algorithm.
    """
    algorithm, note = trainable_algorithm(agent)
    choices: list[Choice] = [] if note is None else [Choice("algorithm", algorithm, note)]
    steps = _left(recipe, situation)
    n_envs = recipe.n_envs or (8 if algorithm in ON_POLICY else 1)
    check_overrides(algorithm, recipe.algorithm)
    saved = agent.blueprint.hyperparameters
    if recipe.mode == "continue":
        return _continued(algorithm, recipe, steps, n_envs, saved, choices)
    arguments = on_policy if algorithm in ON_POLICY else off_policy
    easy = situation.retained is not None and situation.retained >= KEPT_SKILL

    def decide(name: str, decided: tuple[Any, str], *, shown: bool = True) -> Any:
        if shown:
            choices.append(Choice(name, *decided))
        return decided[0]

    hyper = {"learning_rate": decide("learning rate", _learning_rate(recipe, algorithm, saved, easy))}
    if algorithm in VALUE_BASED:
        hyper |= falling(decide("epsilon", epsilon(recipe)), saved)
    hyper |= arguments(algorithm, steps, n_envs, saved, recipe.algorithm)
    discrete = situation.entropy is not None and algorithm in ON_POLICY
    std, why = noise(recipe) if algorithm in NOISY else _std(recipe, situation, easy)
    if std is not None or situation.std is not None:
        choices.append(Choice("exploration std", situation.std if std is None else std, why))
    temperature = decide("softmax temperature", _temperature(recipe, situation, easy), shown=discrete)
    filled = prior_fill(recipe, algorithm, steps, situation.steps)
    return Plan(
        algorithm=algorithm,
        steps=whole_rollouts(steps, n_envs, rollout_steps(algorithm, hyper)),
        n_envs=n_envs,
        hyperparameters=hyper,
        normalizer=recipe.warm_start.normalizer,
        std=std,
        temperature=temperature,
        tie=decide("tie to the prior", _tie(recipe, easy)),
        prior_steps=decide("steps by the prior", filled, shown=algorithm in OFF_POLICY),
        critic_warmup=decide("critic warm-up", _critic_warmup(recipe, algorithm, steps)),
        averaging=decide("averaging of weights", _averaging(recipe, algorithm)),
        choices=tuple(choices),
    )


def _left(recipe: Recipe, situation: Situation) -> int:
    left = recipe.steps - situation.steps
    if left < 1:
        raise ConfigError(
            f"recipe.steps is {recipe.steps}, and the probe alone took {situation.steps} target steps: raise "
            "steps, or set warm_start.probe_episodes to 0."
        )
    return left


def _learning_rate(recipe: Recipe, algorithm: str, saved: Mapping[str, Any], easy: bool) -> tuple[Any, str]:
    if "learning_rate" in recipe.algorithm:
        return recipe.algorithm["learning_rate"], "asked for"
    wanted = recipe.warm_start.learning_rate
    number = saved.get("learning_rate")
    number = float(number) if isinstance(number, int | float) else None
    if wanted == "saved":
        if number is None:
            raise ConfigError(
                "warm_start.learning_rate is `saved`, but the file holds it as a function, which is never run: "
                "give the number."
            )
        return number, "as saved"
    if wanted != "auto":
        return float(wanted), "asked for"
    if algorithm in OFF_POLICY:
        return (number, "as saved") if number is not None else (3e-4, "the file holds a function; 3e-4 instead")
    if algorithm == "a2c":
        return 7e-4, "A2C's ordinary rate: the rates of late pretraining are too small for a changed world"
    if easy:
        return 1e-4, "little was lost in the changed world: small steps"
    return 3e-4, "an ordinary rate: those of late pretraining are too small for a changed world"


def _std(recipe: Recipe, situation: Situation, easy: bool) -> tuple[float | None, str]:
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


def _temperature(recipe: Recipe, situation: Situation, easy: bool) -> tuple[float, str]:
    if recipe.warm_start.std == "keep" or easy or situation.temperature is None:
        return 1.0, "kept: the policy still explores" if situation.temperature is None else "kept"
    share = f"{situation.entropy:.0%}"
    return situation.temperature, f"opened from {share} of the greatest entropy: pretraining had used it up"


def _tie(recipe: Recipe, easy: bool) -> tuple[float, str]:
    wanted = recipe.warm_start.tie
    if wanted != "auto":
        return float(wanted), "asked for"
    if recipe.methods:
        return 0.0, "the recipe names its methods"
    if easy:
        return 0.5, "little was lost in the changed world: stay near the prior at first"
    return 0.0, "the prior is not a teacher in this world"


def _critic_warmup(recipe: Recipe, algorithm: str, steps: int) -> tuple[int, str]:
    wanted = recipe.warm_start.critic_warmup
    if wanted != "auto":
        if wanted and algorithm in VALUE_BASED:
            raise ConfigError(
                f"warm_start.critic_warmup is {wanted}, but {algorithm.upper()} has no actor that could wait for its "
                "critic: leave it out."
            )
        return int(wanted), "asked for"
    if algorithm in ON_POLICY:
        wait = min(WARMUP_ROLLOUTS * ROLLOUT, int(WARMUP_SHARE * steps))
        return wait, "the actor waits while its critic learns what the changed world pays"
    return 0, "a critic alone on few samples of one policy did lasting harm off-policy"


def _averaging(recipe: Recipe, algorithm: str) -> tuple[float, str]:
    if recipe.averaging != "auto":
        return float(recipe.averaging), "asked for"
    if algorithm in ON_POLICY:
        return AVERAGING, "the average over about five updates is steadier than the last weights"
    return 0.0, "off-policy targets are averages already"


def _continued(
    algorithm: str, recipe: Recipe, steps: int, n_envs: int, saved: Mapping[str, Any], choices: list[Choice]
) -> Plan:
    known = inspect.signature(ALGORITHMS[algorithm].__init__).parameters
    hyper = {k: v for k, v in saved.items() if k in known and v is not None}
    choices.append(Choice("hyperparameters", "as saved", "the old training is continued"))
    wanted = recipe.warm_start
    if wanted.replay_buffer is not None and algorithm not in OFF_POLICY:
        raise ConfigError(
            f"recipe.warm_start.replay_buffer is given, but {algorithm.upper()} has none (on-policy): leave it out."
        )
    if not isinstance(wanted.learning_rate, str):
        hyper["learning_rate"] = wanted.learning_rate
    if algorithm in VALUE_BASED and wanted.epsilon != "auto":
        hyper["exploration_initial_eps"] = wanted.epsilon
    hyper.update(recipe.algorithm)
    for name in ("learning_rate", "clip_range"):
        if name in known and name not in hyper:
            default = known[name].default
            choices.append(Choice(name, default, "the file holds a function, which is never run: SB3's default"))
    length = rollout_steps(algorithm, hyper)
    if recipe.n_envs is None:
        n_envs = max(1, min(n_envs, steps // length))
    std = None if isinstance(wanted.std, str) else float(wanted.std)
    return Plan(
        algorithm=algorithm,
        steps=whole_rollouts(steps, n_envs, length),
        n_envs=n_envs,
        hyperparameters=hyper,
        normalizer=wanted.normalizer,
        std=noise(recipe)[0] if algorithm in NOISY else std,
        temperature=1.0,
        tie=0.0 if wanted.tie == "auto" else float(wanted.tie),
        critic_warmup=0 if wanted.critic_warmup == "auto" else _critic_warmup(recipe, algorithm, steps)[0],
        prior_steps=0 if wanted.prior_steps == "auto" else prior_fill(recipe, algorithm, steps, 0)[0],
        averaging=0.0 if recipe.averaging == "auto" else float(recipe.averaging),
        choices=tuple(choices),
    )
