"""Which algorithm trains, with which constructor arguments of SB3, and how its rollouts fit into a budget of steps."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError, suggest
from acclimate.methods.bc import BC
from acclimate.methods.hold import Hold
from acclimate.planning.recipe import Recipe
from acclimate.sb3 import settings
from acclimate.sb3.vocabulary import ALGORITHMS, NOISY, OFF_POLICY, ON_POLICY
from acclimate.seam import trust_region
from acclimate.seam.minibatches import refuse_untappable
from acclimate.seam.trial import tried
from acclimate.tuning.method import Method, chain

ROLLOUT = 2048
MINIBATCH = 64
MANY = 16
"""With so many rollouts in a run, what the last one leaves over is little."""
SEARCH = ("cg_max_steps", "cg_damping", "line_search_shrinking_factor", "line_search_max_iter")
SEARCH += ("n_critic_updates", "normalize_advantage", "target_kl", "sub_sampling_factor")
"""TRPO's own settings. They hold for lengths of steps that the policy takes, not for the world it takes them in."""


def trainable_algorithm(agent: Agent, recipe: Recipe) -> tuple[str, str | None]:
    """Return the algorithm that tunes an agent, and a note where it is not the agent's own.

    Raises:
        ConfigError: The algorithm has no gradient to descend.
        SurgeryError: A method cannot be applied to the agent.
    """
    name = agent.algorithm
    if name in NOISY and agent.action_space.shape == ():
        raise ConfigError(
            f"{name.upper()} explores by noise, and Stable-Baselines3 has none for an action without axes: put the "
            "environment into gymnasium.wrappers.TransformAction, to take an array of one number, and train it there."
        )
    if name not in ON_POLICY | OFF_POLICY:
        raise ConfigError(
            f"{name.upper()} is trained by random search, without a gradient: this agent can be evaluated and "
            "exported, not fine-tuned. Clone its actions into a PPO or SAC agent and tune that one."
        )
    # What a warm start asks for has its own checks, and may be more than TRPO's actor can take.
    if asked := _asked(recipe) if name == "trpo" else recipe.methods:
        copy, method = agent.copy().model, chain(*asked)
        if name in ON_POLICY:  # whether a replay buffer serves depends on the one that the recipe makes
            refuse_untappable(copy, method)
        if reason := trust_region.objection(copy, tried(copy, method)):
            return "ppo", f"tuned as PPO, same networks: {reason}"
    return name, None


def _asked(recipe: Recipe) -> tuple[Method, ...]:
    """Return the methods of a recipe, those among them that its warm start asks for."""
    wanted = recipe.warm_start
    held = (Hold(steps=int(wanted.critic_warmup)),) if wanted.critic_warmup not in ("auto", 0) else ()
    tied = (BC(weight=float(wanted.tie)),) if wanted.tie not in ("auto", 0) else ()
    return (*held, *recipe.methods, *tied)


def checked_overrides(algorithm: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters as SB3 takes them, checked against the signature of the algorithm's constructor.

    Raises:
        ConfigError: A name is not an argument, or is one that the warm start owns; or a value is none that it takes.
    """
    defaults = settings.defaults(algorithm)
    known = set(defaults)
    owned = {"self", "policy", "env", "policy_kwargs", "device", "seed", "_init_setup_model"}
    owned |= {"tensorboard_log", "verbose"}
    for name, value in overrides.items():
        if name in owned & known:
            raise ConfigError(f"recipe.algorithm.{name} is set by the agent or the recipe itself: leave it out.")
        if name not in known:
            raise ConfigError(
                f"recipe.algorithm: {algorithm.upper()} has no argument `{name}`. {suggest(name, known - owned)}"
            )
        # What is no plain data comes from Python, where a schedule or a class of a buffer is as good as a number.
        plain = value is None or isinstance(value, (bool, int, float, str, list, tuple, Mapping))
        if plain and name not in settings.OBJECTS and (reason := settings.problem(name, value, defaults[name])):
            raise ConfigError(f"recipe.algorithm.{name} {reason}.")
    return {name: settings.number(name, value, defaults[name]) for name, value in overrides.items()}


def _kept(saved: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: saved[name] for name in names if saved.get(name) is not None}


def on_policy(
    algorithm: str, steps: int, n_envs: int, saved: Mapping[str, Any], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a fresh model of PPO, its kin, A2C or TRPO, those of the recipe included."""
    known = inspect.signature(ALGORITHMS[algorithm].__init__).parameters
    names = ("gamma", "gae_lambda", "use_sde", "sde_sample_freq")
    hyper = _kept(saved, *(name for name in names if name in known))
    if algorithm == "a2c":
        names = ("vf_coef", "max_grad_norm", "ent_coef", "n_steps", "use_rms_prop", "normalize_advantage")
        return {**hyper, **_kept(saved, *names), **overrides}
    wanted = ROLLOUT
    if algorithm == "trpo":
        hyper |= _kept(saved, *SEARCH)
        wanted = n_envs * saved.get("n_steps", ROLLOUT)
    else:
        hyper |= {**_kept(saved, "vf_coef", "max_grad_norm"), "ent_coef": 0.0}
    n_steps = overrides.get("n_steps", rollout_length(steps, n_envs, wanted))
    size = n_steps * n_envs
    # A recurrent agent learns through sequences that are as long as its minibatches, at most.
    most = saved.get("batch_size", 2 * MINIBATCH) if algorithm in ("trpo", "recurrent_ppo") else MINIBATCH
    batch = max(divisor for divisor in range(1, min(most, size) + 1) if size % divisor == 0)
    hyper |= {"n_steps": n_steps, "batch_size": max(batch, 2)}
    if algorithm != "trpo":
        hyper |= {"n_epochs": 10, "clip_range": 0.2}
    return {**hyper, **overrides}


def rollout_length(steps: int, n_envs: int, rollout: int = ROLLOUT) -> int:
    """Return a PPO or TRPO rollout length per environment, near `rollout` in all, that wastes little of `steps`.

    SB3 trains in whole rollouts. Where there are few of them, the length is a multiple that minibatches of 64 divide,
    and among the counts of rollouts near the wanted one the one that leaves the fewest steps unused is taken.
    """
    if steps >= MANY * rollout:
        return max(1, rollout // n_envs)
    unit = MINIBATCH // math.gcd(MINIBATCH, n_envs)
    chunk = unit * n_envs
    if steps < 2 * chunk:
        return max(2, steps // n_envs)
    wanted = max(1, round(steps / max(rollout, chunk)))
    counts = range(wanted - min(6, wanted // 4), wanted + min(6, wanted // 2) + 1)
    best = max(counts, key=lambda n: (n * (steps // (n * chunk)) * chunk, -abs(n - wanted)))
    return max(1, steps // (best * chunk)) * unit


def rollout_steps(algorithm: str, arguments: Mapping[str, Any]) -> int:
    """Return the steps of each environment from one update to the next; 1 where updates follow whole episodes."""
    name = "n_steps" if algorithm in ON_POLICY else "train_freq"
    default = inspect.signature(ALGORITHMS[algorithm].__init__).parameters[name].default
    found = arguments.get(name, default)
    if isinstance(found, int):
        return found
    return found[0] if found[1] == "step" else 1


def whole_rollouts(steps: int, n_envs: int, length: int) -> int:
    """Return the most steps within `steps` that are whole rollouts, which are all that SB3 takes.

    Raises:
        ConfigError: Not even one fits.
    """
    rollout = n_envs * length
    if rollout > steps:
        raise ConfigError(
            f"recipe.steps leaves {steps} steps to train, and one rollout of {length} steps in each of {n_envs} "
            f"environments takes {rollout}: raise steps, or lower n_envs, or algorithm.n_steps or algorithm.train_freq."
        )
    return steps // rollout * rollout


def off_policy(
    algorithm: str, steps: int, n_envs: int, saved: Mapping[str, Any], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a fresh off-policy model, those of the recipe included."""
    names = ["gamma", "tau", "batch_size", "train_freq", "gradient_steps", "target_update_interval"]
    names += ["policy_delay", "target_policy_noise", "target_noise_clip", "top_quantiles_to_drop_per_net"]
    names += ["use_sde", "sde_sample_freq", "max_grad_norm", "ent_coef", "target_entropy"]
    known = inspect.signature(ALGORITHMS[algorithm].__init__).parameters
    hyper = _kept(saved, *(name for name in names if name in known))
    if n_envs > 1 and isinstance(frequency := hyper.get("train_freq"), list | tuple) and frequency[1] == "episode":
        hyper["train_freq"] = 1  # SB3 counts episodes of a single environment
    if saved.get("optimize_memory_usage"):
        hyper["optimize_memory_usage"] = False  # such a buffer cannot be begun, cut and resumed step by step
    size = saved.get("buffer_size")
    hyper["buffer_size"] = max(min(int(size) if size else 1_000_000, steps), 1_000)
    return {**hyper, "learning_starts": 0, **overrides}
