"""The plan: every `auto` of a recipe decided from the situation, each with its reason.

The rules were chosen on tasks that are not reported (`docs/decisions.md`, "The default warm start").
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acclimate.agent import Agent
from acclimate.errors import ConfigError, suggest
from acclimate.probe import Situation
from acclimate.recipe import Recipe
from acclimate.sources.vocabulary import ALGORITHMS

ON_POLICY = frozenset({"ppo", "a2c"})
OFF_POLICY = frozenset({"sac", "td3", "ddpg", "tqc", "crossq", "dqn", "qrdqn"})
VALUE_BASED = frozenset({"dqn", "qrdqn"})

KEPT_SKILL = 0.9
"""At this retained share and above, the shift is easy: there is more to lose than to gain."""
EXPLORING_STD = math.exp(-1.0)
"""The std to which a Gaussian policy is opened on a hard shift, in units of the action."""
AVERAGING = 0.8
"""Weight of the past at each rollout's update."""
ROLLOUT = 2048
MINIBATCH = 64


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


def trainable_algorithm(agent: Agent) -> tuple[str, str | None]:
    """Return the algorithm that tunes an agent, and a note where it is not the agent's own.

    Raises:
        ConfigError: The algorithm has no gradient to descend, or a kind of policy that cannot be tuned yet.
    """
    name = agent.algorithm
    if name == "trpo":
        return "ppo", "TRPO's actor step bypasses the optimizer: the agent is tuned as PPO, same networks"
    if name in ON_POLICY | OFF_POLICY:
        return name, None
    if name == "ars":
        raise ConfigError(
            "ARS is trained by random search, without a gradient: this agent can be evaluated and exported, not "
            "fine-tuned. Clone its actions into a PPO or SAC agent and tune that one."
        )
    raise ConfigError(
        f"{name} agents (recurrent or masked) load, act and evaluate, but cannot be fine-tuned yet: "
        f"tunable are {', '.join(sorted(ON_POLICY | OFF_POLICY | {'trpo'}))}."
    )


def make_plan(agent: Agent, recipe: Recipe, situation: Situation) -> Plan:
    """Decide every open value of a recipe.

    Raises:
        ConfigError: The agent cannot be tuned, or an override is not an argument of its algorithm.
    """
    algorithm, note = trainable_algorithm(agent)
    choices: list[Choice] = [] if note is None else [Choice("algorithm", algorithm, note)]
    steps = recipe.steps - situation.steps
    if steps < 1:
        raise ConfigError(
            f"recipe.steps is {recipe.steps}, and the probe alone took {situation.steps} target steps: raise "
            "steps, or set warm_start.probe_episodes to 0."
        )
    n_envs = recipe.n_envs or (8 if algorithm in ON_POLICY else 1)
    check_overrides(algorithm, recipe.algorithm)
    saved = agent.blueprint.hyperparameters
    if recipe.mode == "continue":
        return _continued(algorithm, recipe, steps, n_envs, saved, choices)
    hyper = (_on_policy if algorithm in ON_POLICY else _off_policy)(algorithm, steps, n_envs, saved)
    easy = situation.retained is not None and situation.retained >= KEPT_SKILL
    rate, rate_why = _learning_rate(recipe, algorithm, saved, easy)
    choices.append(Choice("learning rate", rate, rate_why))
    hyper["learning_rate"] = rate
    if algorithm in VALUE_BASED:
        start, why = _epsilon(recipe, saved)
        choices.append(Choice("epsilon", start, why))
        hyper["exploration_initial_eps"] = start
        hyper["exploration_fraction"] = 0.1
        hyper["exploration_final_eps"] = min(start, float(saved.get("exploration_final_eps", 0.05)))
    std, why = _std(recipe, situation, easy)
    if situation.std is not None:
        choices.append(Choice("exploration std", situation.std if std is None else std, why))
    temperature, why = _temperature(recipe, situation, easy)
    if situation.entropy is not None and algorithm in ON_POLICY:
        choices.append(Choice("softmax temperature", temperature, why))
    tie, why = _tie(recipe, easy)
    choices.append(Choice("tie to the prior", tie, why))
    prior_steps, why = _prior_steps(recipe, algorithm, steps)
    if algorithm in OFF_POLICY:
        choices.append(Choice("steps by the prior", prior_steps, why))
        hyper["learning_starts"] = 0
    warmup, why = _critic_warmup(recipe)
    choices.append(Choice("critic warm-up", warmup, why))
    averaging, why = _averaging(recipe, algorithm)
    choices.append(Choice("averaging of weights", averaging, why))
    hyper.update(recipe.algorithm)
    return Plan(
        algorithm=algorithm,
        steps=whole_rollouts(steps, n_envs, hyper.get("n_steps", 1)),
        n_envs=n_envs,
        hyperparameters=hyper,
        normalizer=recipe.warm_start.normalizer,
        std=std,
        temperature=temperature,
        tie=tie,
        critic_warmup=warmup,
        prior_steps=prior_steps,
        averaging=averaging,
        choices=tuple(choices),
    )


def check_overrides(algorithm: str, overrides: Mapping[str, Any]) -> None:
    """Check hyperparameters against the signature of the algorithm's constructor.

    Raises:
        ConfigError: A name is not an argument, or is one that the warm start owns.
    """
    known = set(inspect.signature(ALGORITHMS[algorithm].__init__).parameters)
    owned = {"self", "policy", "env", "policy_kwargs", "device", "seed", "_init_setup_model", "tensorboard_log"}
    for name in overrides:
        if name in owned & known:
            raise ConfigError(f"recipe.algorithm.{name} is set by the agent or the recipe itself: leave it out.")
        if name not in known:
            raise ConfigError(
                f"recipe.algorithm: {algorithm.upper()} has no argument `{name}`. {suggest(name, known - owned)}"
            )


def _kept(saved: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: saved[name] for name in names if saved.get(name) is not None}


def _on_policy(algorithm: str, steps: int, n_envs: int, saved: Mapping[str, Any]) -> dict[str, Any]:
    hyper = _kept(saved, "gamma", "gae_lambda", "vf_coef", "max_grad_norm", "use_sde", "sde_sample_freq")
    hyper["ent_coef"] = 0.0
    if algorithm == "a2c":
        return {**hyper, **_kept(saved, "n_steps", "use_rms_prop", "normalize_advantage")}
    n_steps = rollout_length(steps, n_envs)
    size = n_steps * n_envs
    batch = max(divisor for divisor in range(1, MINIBATCH + 1) if size % divisor == 0)
    return {**hyper, "n_steps": n_steps, "batch_size": max(batch, 2), "n_epochs": 10, "clip_range": 0.2}


def rollout_length(steps: int, n_envs: int) -> int:
    """Return a PPO rollout length per environment, near 2048 in all, that wastes little of `steps`.

    SB3 trains in whole rollouts. The length is a multiple that minibatches of 64 divide; among the counts of
    rollouts near the wanted one, the one that leaves the fewest steps unused is taken.
    """
    unit = MINIBATCH // math.gcd(MINIBATCH, n_envs)
    chunk = unit * n_envs
    if steps < 2 * chunk:
        return max(2, steps // n_envs)
    wanted = max(1, round(steps / max(ROLLOUT, chunk)))
    counts = range(max(1, wanted - 6), wanted + 7)
    best = max(counts, key=lambda n: (n * (steps // (n * chunk)) * chunk, -abs(n - wanted)))
    return max(1, steps // (best * chunk)) * unit


def whole_rollouts(steps: int, n_envs: int, n_steps: int) -> int:
    """Return the most steps within `steps` that SB3, which only takes whole rollouts, does not overshoot; at least one."""
    rollout = n_envs * n_steps
    return max(1, steps // rollout) * rollout


def _off_policy(algorithm: str, steps: int, n_envs: int, saved: Mapping[str, Any]) -> dict[str, Any]:
    names = ["gamma", "tau", "batch_size", "train_freq", "gradient_steps", "target_update_interval"]
    names += ["policy_delay", "target_policy_noise", "target_noise_clip", "top_quantiles_to_drop_per_net"]
    names += ["use_sde", "sde_sample_freq", "max_grad_norm", "ent_coef", "target_entropy"]
    known = inspect.signature(ALGORITHMS[algorithm].__init__).parameters
    hyper = _kept(saved, *(name for name in names if name in known))
    size = saved.get("buffer_size")
    hyper["buffer_size"] = max(min(int(size) if size else 1_000_000, steps), 1_000)
    return hyper


def _learning_rate(recipe: Recipe, algorithm: str, saved: Mapping[str, Any], easy: bool) -> tuple[float, str]:
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


def _epsilon(recipe: Recipe, saved: Mapping[str, Any]) -> tuple[float, str]:
    wanted = recipe.warm_start.epsilon
    if wanted != "auto":
        return float(wanted), "asked for"
    return 0.1, "never back to 1: the prior acts, with some random actions"


def _prior_steps(recipe: Recipe, algorithm: str, steps: int) -> tuple[int, str]:
    if algorithm not in OFF_POLICY:
        return 0, ""
    wanted = recipe.warm_start.prior_steps
    if wanted != "auto":
        return min(int(wanted), steps), "asked for"
    return min(2_000, max(steps // 10, 1)), "the prior, not random actions, fills the buffer before the first update"


def _critic_warmup(recipe: Recipe) -> tuple[int, str]:
    wanted = recipe.warm_start.critic_warmup
    if wanted != "auto":
        return int(wanted), "asked for"
    return 0, "it did not pay for its steps on the tasks that chose the defaults"


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
    for name in ("learning_rate", "clip_range"):
        if name in known and name not in hyper and name not in recipe.algorithm:
            default = known[name].default
            choices.append(Choice(name, default, "the file holds a function, which is never run: SB3's default"))
    hyper.update(recipe.algorithm)
    wanted = recipe.warm_start
    return Plan(
        algorithm=algorithm,
        steps=steps,
        n_envs=recipe.n_envs or int(saved.get("n_envs") or n_envs),
        hyperparameters=hyper,
        normalizer=wanted.normalizer,
        std=wanted.std if isinstance(wanted.std, float) else None,
        temperature=1.0,
        tie=wanted.tie if isinstance(wanted.tie, float) else 0.0,
        critic_warmup=wanted.critic_warmup if isinstance(wanted.critic_warmup, int) else 0,
        prior_steps=wanted.prior_steps if isinstance(wanted.prior_steps, int) else 0,
        averaging=recipe.averaging if isinstance(recipe.averaging, float) else 0.0,
        choices=tuple(choices),
    )
