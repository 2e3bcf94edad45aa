"""The warm start: a fresh SB3 model that begins as the pretrained agent, and the list of what that took."""

from __future__ import annotations

import copy
import inspect
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from stable_baselines3 import TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from acclimate.agents.agent import Agent
from acclimate.agents.graft import graft
from acclimate.errors import AcclimateError, SourceError
from acclimate.evaluation.seeds import training_seed
from acclimate.evaluation.transitions import Transitions
from acclimate.planning.case import Case
from acclimate.planning.plan import Plan
from acclimate.planning.recipe import Recipe
from acclimate.sb3.counters import carry_counters, saved_names
from acclimate.sb3.hindsight import keeps_infos
from acclimate.sb3.normalizer import Normalizer, hold_observations, save_vec_normalize
from acclimate.sb3.optimizers import follow
from acclimate.sb3.vocabulary import ALGORITHMS, OFF_POLICY, ON_POLICY, VALUE_BASED
from acclimate.training import replay
from acclimate.training.goals import why_not
from acclimate.training.settings import changed

Row = tuple[str, str]


@dataclass(frozen=True)
class WarmStarted:
    """A model ready to learn, and what was carried over and reset for it."""

    model: BaseAlgorithm
    """A fresh SB3 model on the target task, with the pretrained weights."""
    normalize: VecNormalize | None
    """Its observation and reward normaliser, None where the agent has none."""
    prior: Agent
    """The pretrained agent under the algorithm that trains (PPO for a TRPO agent)."""
    carried: tuple[Row, ...]
    reset: tuple[Row, ...]

    def live(self) -> Agent:
        """Return the model in training as an agent, with a copy of its normaliser as it stands."""
        return self.prior.around(self.model, normalizer=save_vec_normalize(self.normalize))


def warm_start(
    case: Case,
    plan: Plan,
    *,
    seed_offset: int = 0,
    probed: Transitions | None = None,
) -> WarmStarted:
    """Build the model that is trained, out of the agent and the plan.

    The agent itself is left as it is.

    Args:
        case: The pretrained agent, the changed world, and what the user asked for.
        plan: The recipe with nothing left open.
        seed_offset: Added to the environments' seed, so that a resumed run meets new episodes.
        probed: The probe's steps in the changed world, with which a replay buffer begins.

    Raises:
        SourceError: The pretrained weights do not fit the model (a policy class that was changed).
    """
    prior, recipe = as_algorithm(case.agent, plan.algorithm), case.recipe
    carried: list[Row] = []
    reset: list[Row] = []
    buffer = _hindsight(prior, case, plan, probed, carried, reset)
    seed = training_seed(recipe.seed) + seed_offset
    apart = recipe.warm_start.stagger and plan.algorithm in ON_POLICY
    venv = case.task.vector(plan.n_envs, seed=seed, kind=recipe.vec_env, stagger=apart, late=recipe.is_single)
    try:
        normalize = _normalizer(prior, venv, recipe, plan, carried, reset)
        env = venv if normalize is None else normalize
        fixed = {"env": env, "device": recipe.device, "seed": recipe.seed, "verbose": 0, **buffer}
        model = prior.blueprint.build(**fixed, **plan.hyperparameters)
        graft(model, prior.methods)
        # SB3 has just seeded the environments by the recipe's seed, which other episodes may share.
        venv.seed(seed)
        _carry_weights(prior, model, carried)
        if prior.masked:
            _masks(case, carried, reset)
        if plan.algorithm in OFF_POLICY:
            _fill(model, recipe, plan, probed, carried, reset)
    except AcclimateError:
        venv.close()
        raise
    _count(prior, model, recipe, plan, carried, reset)
    _explore(prior, model, plan, carried, reset)
    reset.extend(changed(prior, plan.hyperparameters))
    return WarmStarted(model, normalize, prior, tuple(carried), tuple(reset))


def as_algorithm(agent: Agent, algorithm: str) -> Agent:
    """Return the agent itself, or one under another algorithm with the same networks (TRPO as PPO)."""
    if agent.algorithm == algorithm:
        return agent
    known = inspect.signature(ALGORITHMS[algorithm].__init__).parameters
    shared = {name: value for name, value in agent.blueprint.hyperparameters.items() if name in known}
    blueprint = replace(agent.blueprint, algorithm=algorithm, hyperparameters=shared)
    model = blueprint.build(device=agent.device)
    graft(model, agent.methods)
    model.policy.load_state_dict(agent.model.policy.state_dict(), strict=True)
    model.policy.set_training_mode(False)
    return agent.around(model, normalizer=agent.normalizer, blueprint=blueprint)


def _hindsight(
    prior: Agent, case: Case, plan: Plan, probed: Transitions | None, carried: list[Row], reset: list[Row]
) -> dict[str, Any]:
    """Return what takes the replay buffer's place where the agent was trained with hindsight and that cannot go on."""
    hindsight = prior.blueprint.hindsight
    if hindsight is None or "replay_buffer_class" in plan.hyperparameters:
        return {}
    why = why_not(hindsight, case.task, probed)
    if why is None:
        carried.append(("hindsight", str(hindsight)))
        return {}
    reset.append(("hindsight", f"left out: {why}"))
    return {"replay_buffer_class": None}


def _normalizer(
    agent: Agent, venv: VecEnv, recipe: Recipe, plan: Plan, carried: list[Row], reset: list[Row]
) -> VecNormalize | None:
    saved = agent.normalizer
    if saved is None:
        carried.append(("observations", "raw, as in pretraining: the agent has no normaliser"))
        return None
    chosen = saved
    if plan.normalizer == "fresh":
        empty = Normalizer.identity(venv.observation_space, saved.norm_obs_keys)
        statistics = {name: getattr(empty, name) for name in ("obs_mean", "obs_var", "obs_count")}
        chosen = replace(saved, **statistics)
    wrapped = chosen.vec_normalize(venv, training=True, norm_reward=saved.norm_reward)
    if plan.normalizer == "fresh":
        reset.append(("observation normaliser", "fresh, as asked for: the policy sees other inputs than it knows"))
    else:
        held = ", held" if plan.normalizer == "freeze" else ", updated on"
        carried.append(("observation normaliser", f"statistics of {_number(saved)} observations{held}"))
    if plan.normalizer == "freeze":
        hold_observations(wrapped)
    if saved.norm_reward and (recipe.mode == "continue" or recipe.warm_start.moments == "carry"):
        carried.append(("reward normaliser", "statistics as saved, updated on"))
    elif saved.norm_reward:
        wrapped.ret_rms = RunningMeanStd(shape=())
        reset.append(("reward normaliser", "re-estimated, as asked for"))
    return wrapped


def _number(normalizer: Normalizer) -> str:
    count = normalizer.obs_count
    number = max(count.values()) if isinstance(count, dict) else count
    return f"{float(number):,.0f}"


def _carry_weights(prior: Agent, model: BaseAlgorithm, carried: list[Row]) -> None:
    try:
        model.policy.load_state_dict(prior.model.policy.state_dict(), strict=True)
    except RuntimeError as error:
        raise SourceError(
            f"the agent's weights do not fit the policy built for training ({str(error).splitlines()[0]}): load the "
            "file again and tune that agent."
        ) from error
    total = sum(p.numel() for p in model.policy.parameters())
    carried.append(("policy and value networks", f"{total:,} parameters, all of them"))
    _, names = saved_names(model)
    for name in names:
        before, after = getattr(prior.model, name, None), getattr(model, name, None)
        if isinstance(before, torch.Tensor) and isinstance(after, torch.Tensor) and before.shape == after.shape:
            with torch.no_grad():
                after.copy_(before)
            if name == "log_ent_coef":
                carried.append(("entropy coefficient", f"{math.exp(float(before.detach())):.4g}, still tuned"))


def _masks(case: Case, carried: list[Row], reset: list[Row]) -> None:
    if case.task.masks:
        carried.append(("action masks", "asked of each environment before each step"))
    else:
        reset.append(("action masks", "the environment tells none: chooses among all actions, as in evaluation"))


def _fill(
    model: BaseAlgorithm,
    recipe: Recipe,
    plan: Plan,
    probed: Transitions | None,
    carried: list[Row],
    reset: list[Row],
) -> None:
    if recipe.warm_start.replay_buffer is not None:
        carried.append(("replay buffer", f"{replay.carry(model, recipe.warm_start.replay_buffer):,} transitions"))
        return
    # What the probe saw besides, by which rewards are computed, was not kept.
    stored = replay.store(model, probed) if probed and not keeps_infos(model.replay_buffer) else 0
    begins = f"begins with the probe's {stored:,} steps" if stored else "empty"
    by = f"the prior adds {plan.prior_steps:,}" if plan.prior_steps else "filled by the agent as it learns"
    reset.append(("replay buffer", f"{begins}: {by}, no uniformly random actions"))


def _explore(prior: Agent, model: BaseAlgorithm, plan: Plan, carried: list[Row], reset: list[Row]) -> None:
    log_std = getattr(model.policy, "log_std", None)
    if "action_noise" not in plan.hyperparameters and prior.blueprint.noise is not None and plan.std is None:
        carried.append(("action noise", str(prior.blueprint.noise)))
    elif "action_noise" not in plan.hyperparameters and isinstance(model, TD3) and plan.std is not None:
        shape = model.action_space.shape
        model.action_noise = NormalActionNoise(np.zeros(shape), np.full(shape, plan.std))
        reset.append(("action noise", f"Gaussian, std {plan.std:.3g} of an action in [-1, 1]"))
    if isinstance(log_std, torch.nn.Parameter) and not getattr(model, "use_sde", False):
        before = float(log_std.detach().exp().mean())
        if plan.std is None:
            carried.append(("exploration std", f"{before:.3g}"))
        else:
            with torch.no_grad():
                log_std.clamp_(min=math.log(plan.std))
            reset.append(("exploration std", f"{before:.3g} -> {float(log_std.detach().exp().mean()):.3g}"))
    if plan.temperature != 1.0:
        # Dividing the logits leaves the most likely action as it is: the deterministic policy is unchanged.
        with torch.no_grad():
            for parameter in model.policy.action_net.parameters():
                parameter.div_(plan.temperature)
        reset.append(("softmax temperature", f"1 -> {plan.temperature:.3g}: explores, its best action is the same"))


def _count(
    prior: Agent, model: BaseAlgorithm, recipe: Recipe, plan: Plan, carried: list[Row], reset: list[Row]
) -> None:
    """Let the model count on, steps or updates, or begin to count."""
    if recipe.mode == "continue":
        model.num_timesteps = int(prior.origin.steps or 0)
        carried.append(("step counter", f"{model.num_timesteps:,}"))
    else:
        _begin_anew(plan, reset)
    if recipe.mode == "continue" or recipe.warm_start.moments == "carry":
        _carry_moments(prior, model, carried, reset)
    else:
        reset.append(("optimizer", "fresh, as asked for"))


def _begin_anew(plan: Plan, reset: list[Row]) -> None:
    reset.append(("step counter", "0: schedules run over this budget"))
    if plan.algorithm in VALUE_BASED:
        first, last = (plan.hyperparameters[f"exploration_{name}_eps"] for name in ("initial", "final"))
        reset.append(("epsilon", f"{first:.3g} -> {last:.3g}, not 1: the agent can act already"))


def _carry_moments(prior: Agent, model: BaseAlgorithm, carried: list[Row], reset: list[Row]) -> None:
    carry_counters(prior.model, model)
    names, _ = saved_names(model)
    for name in names:
        if "optimizer" not in name:
            continue
        saved, fresh = follow(prior.model, name), follow(model, name)
        if saved is None or fresh is None or not saved.state:
            reset.append((name, "fresh: the file holds none that fits"))
            continue
        rates = [group["lr"] for group in fresh.param_groups]
        # Optimizers take over the tensors that they are given.
        fresh.load_state_dict(copy.deepcopy(saved.state_dict()))
        for group, rate in zip(fresh.param_groups, rates, strict=True):
            group["lr"] = rate
        carried.append((name, "moments as saved"))
