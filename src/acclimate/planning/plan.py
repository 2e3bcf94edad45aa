"""The plan: every `auto` of a recipe decided from the situation, each with its reason.

What the rules were chosen on is in `docs/decisions.md`, "The default warm start".
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError, SurgeryError
from acclimate.planning import defaults
from acclimate.planning.arguments import (
    checked_overrides,
    off_policy,
    on_policy,
    rollout_steps,
    trainable_algorithm,
    whole_rollouts,
)
from acclimate.planning.probe import Situation
from acclimate.planning.recipe import Recipe
from acclimate.planning.saved import envs_of, settings_of
from acclimate.sb3.policies.distributions import incomparable
from acclimate.sb3.vocabulary import ALGORITHMS, NOISY, OFF_POLICY, ON_POLICY, VALUE_BASED

ENVS = 8
"""In which PPO, its kin and A2C train."""


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
    """The algorithm that trains: the agent's own, or PPO for a TRPO agent with methods that TRPO has no place for."""
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
    """Weight of the tie to what the agent does at home; 0 is none."""
    critic_warmup: int
    prior_steps: int
    averaging: float
    """Weight of the past in the average over updates that is measured and kept."""
    choices: tuple[Choice, ...] = field(default=())

    def why(self) -> list[tuple[str, str, str]]:
        """Return the choices as rows of text: what, value, reason."""
        return [(c.name, f"{c.value:.4g}" if isinstance(c.value, float) else str(c.value), c.why) for c in self.choices]


def make_plan(agent: Agent, recipe: Recipe, situation: Situation, *, home: bool) -> Plan:
    """Decide every open value of a recipe from what the probe found, and whether the world of pretraining is known.

    Raises:
        ConfigError: The agent cannot be tuned, or an override is not an argument of its algorithm.
        SurgeryError: A method cannot be applied to the agent.
    """
    algorithm, note = trainable_algorithm(agent, recipe)
    choices: list[Choice] = [] if note is None else [Choice("algorithm", algorithm, note)]
    steps = _left(recipe, situation)
    n_envs = recipe.n_envs or _envs(agent, algorithm)
    asked = checked_overrides(algorithm, recipe.algorithm)
    saved = settings_of(agent)
    if recipe.mode == "continue":
        return _continued(agent, algorithm, recipe, steps, n_envs, choices)
    easy = situation.retained is not None and situation.retained >= defaults.KEPT_SKILL

    def decide(name: str, decided: tuple[Any, str], *, shown: bool = True) -> Any:
        if shown:
            choices.append(Choice(name, *decided))
        return decided[0]

    hyper = {"learning_rate": decide("learning rate", defaults.learning_rate(recipe, algorithm, saved, easy))}
    if algorithm in VALUE_BASED:
        hyper |= defaults.falling(decide("epsilon", defaults.epsilon(recipe, saved)), saved)
    hyper |= (on_policy if algorithm in ON_POLICY else off_policy)(algorithm, steps, n_envs, saved, asked)
    discrete, replays = situation.entropy is not None and algorithm in ON_POLICY, algorithm in OFF_POLICY
    noisy = algorithm in NOISY
    std, why = defaults.noise(recipe, agent.blueprint.noise) if noisy else defaults.std(recipe, situation, easy)
    decide("exploration std", (situation.std if std is None else std, why), shown=(std or situation.std) is not None)
    temperature = decide("softmax temperature", defaults.temperature(recipe, situation, easy), shown=discrete)
    return Plan(
        algorithm=algorithm,
        steps=whole_rollouts(steps, n_envs, rollout_steps(algorithm, hyper)),
        n_envs=n_envs,
        hyperparameters=hyper,
        normalizer=recipe.warm_start.normalizer,
        std=std,
        temperature=temperature,
        tie=decide("tie to the prior", _tie(agent, recipe, home=home)),
        prior_steps=decide("steps by the prior", defaults.prior_fill(recipe, algorithm, steps), shown=replays),
        critic_warmup=decide("critic warm-up", defaults.critic_warmup(recipe, algorithm, fresh=agent.origin.fresh)),
        averaging=decide("averaging of weights", defaults.averaging(recipe)),
        choices=tuple(choices),
    )


def _tie(agent: Agent, recipe: Recipe, *, home: bool) -> tuple[float, str]:
    """Decide the tie to the prior, as far as this agent's policy can be compared with what it was.

    Raises:
        SurgeryError: It cannot, and the recipe asks for it.
    """
    weight, why = defaults.tie(recipe, home=home)
    comparing = [method.name for method in recipe.methods if method.has("output_penalty")]
    if not (weight or comparing) or (reason := incomparable(agent.model)) is None:
        return weight, why
    if comparing or recipe.warm_start.tie != "auto":
        raise SurgeryError(f"{', '.join(comparing) or 'warm_start.tie'}: {reason}")
    return 0.0, reason


def _envs(agent: Agent, algorithm: str) -> int:
    if algorithm in OFF_POLICY:
        return 1
    return envs_of(agent) if algorithm == "trpo" else ENVS


def _left(recipe: Recipe, situation: Situation) -> int:
    left = recipe.steps - situation.steps
    if left < 1:
        raise ConfigError(
            f"recipe.steps is {recipe.steps}, and the probe alone took {situation.steps} target steps: raise "
            "steps, or set warm_start.probe_episodes to 0."
        )
    return left


def _continued(agent: Agent, algorithm: str, recipe: Recipe, steps: int, n_envs: int, choices: list[Choice]) -> Plan:
    saved = settings_of(agent)
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
    hyper.update(checked_overrides(algorithm, recipe.algorithm))
    for name in ("learning_rate", "clip_range"):
        if name in known and name not in hyper:
            default = known[name].default
            choices.append(Choice(name, default, "the file holds a function, which is never run: SB3's default"))
    length = rollout_steps(algorithm, hyper)
    if recipe.n_envs is None:
        n_envs = max(1, min(n_envs, steps // length))
    std = None if isinstance(wanted.std, str) else float(wanted.std)
    held, _ = defaults.critic_warmup(recipe, algorithm, fresh=False)
    return Plan(
        algorithm=algorithm,
        steps=whole_rollouts(steps, n_envs, length),
        n_envs=n_envs,
        hyperparameters=hyper,
        normalizer=wanted.normalizer,
        std=defaults.noise(recipe, agent.blueprint.noise)[0] if algorithm in NOISY else std,
        temperature=1.0,
        tie=0.0 if wanted.tie == "auto" else float(wanted.tie),
        critic_warmup=0 if wanted.critic_warmup == "auto" else held,
        prior_steps=0 if wanted.prior_steps == "auto" else defaults.prior_fill(recipe, algorithm, steps)[0],
        averaging=0.0 if recipe.averaging == "auto" else float(recipe.averaging),
        choices=tuple(choices),
    )
