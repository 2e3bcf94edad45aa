"""What people do without this library: the models that they train, each as the lines that a report shows of it.

The **competent** user carries what there is to carry, sets ordinary rates, opens a narrow policy and skips the random
phase. The **naive** one loads and learns. **Scratch** has fresh networks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from acclimate.agents.agent import Agent
from acclimate.agents.graft import graft
from acclimate.evaluation.seeds import training_seed
from acclimate.planning.saved import envs_of, hinted, setting
from acclimate.sb3.counters import carry_counters, saved_names
from acclimate.sb3.optimizers import follow
from acclimate.sb3.settings import defaults
from acclimate.sb3.vocabulary import NOISY, OFF_POLICY, VALUE_BASED
from acclimate.tasks.task import Task

LIKE_PPO = ("ppo", "maskable_ppo", "recurrent_ppo")
ENVS = 8
ORDINARY: Mapping[str, Any] = {
    "n_steps": 256,
    "batch_size": 64,
    "n_epochs": 10,
    "learning_rate": 3e-4,
    "clip_range": 0.2,
    "ent_coef": 0.0,
}
"""Of PPO; what is not here is as saved."""
OPENED = -1.5
"""Least logarithm of a Gaussian's standard deviation."""
NOISE = 0.1
"""Standard deviation of the action noise of TD3 and DDPG, actions lying in [-1, 1]."""
STARTS = 1_000
"""Random steps of an off-policy agent that is trained from scratch."""


@dataclass(frozen=True)
class Ways:
    """How a row makes its model: what it sets, and what it takes over."""

    settings: dict[str, Any] = field(default_factory=dict)
    """Arguments of SB3's constructor that are not as saved."""
    n_envs: int = 1
    carried: bool = False
    """Whether the normaliser is; else a new one takes its place."""
    weights: bool = True
    """Whether networks, moments and the entropy coefficient are."""
    opened: bool = False
    """Whether a narrow Gaussian is opened."""
    staggered: bool = False
    notes: tuple[str, ...] = ()


def competent(agent: Agent, saved: Mapping[str, Any]) -> Ways:
    """Return what the competent user does with an agent."""
    name = agent.algorithm
    if name in LIKE_PPO:
        return Ways(dict(ORDINARY), ENVS, carried=True, opened=True)
    if name == "a2c":
        return Ways({**saved, "learning_rate": 7e-4}, ENVS, carried=True)
    if name == "trpo":
        return Ways(dict(saved), envs_of(agent), carried=True)
    settings = {**saved, "learning_starts": 0}
    if name in VALUE_BASED:
        final = _setting(agent, settings, "exploration_final_eps")
        settings |= {"exploration_initial_eps": final}
    if name in NOISY:
        settings |= {"action_noise": _noise(agent)}
    return Ways(settings, envs_of(agent), carried=True)


def naive(agent: Agent, saved: Mapping[str, Any]) -> Ways:
    """Return what somebody does who loads, sets the environment and learns."""
    notes = ()
    if agent.algorithm in OFF_POLICY:
        notes = (f"begins with {_setting(agent, saved, 'learning_starts'):,} random steps, as SB3 does after `load`",)
    return Ways(dict(saved), envs_of(agent), notes=notes)


def scratch(agent: Agent, saved: Mapping[str, Any]) -> Ways:
    """Return what somebody does who trains anew: on-policy with the competent user's settings, else with the saved."""
    if agent.algorithm in OFF_POLICY:
        return Ways({**saved, "learning_starts": STARTS}, envs_of(agent), weights=False)
    way = competent(agent, saved)
    return Ways(way.settings, way.n_envs, weights=False, staggered=True)


WAYS: Mapping[str, Callable[[Agent, Mapping[str, Any]], Ways]] = {
    "naive": naive,
    "competent": competent,
    "scratch": scratch,
}


def way(row: str, agent: Agent, given: Mapping[str, Any]) -> Ways:
    """Return how a row makes its model of an agent.

    Args:
        row: one of `WAYS`.
        agent: the pretrained one.
        given: settings of its pretraining that its file keeps as functions; without them those of its config count.
    """
    return WAYS[row](agent, {**hinted(agent), **{name: setting(name, value) for name, value in given.items()}})


def model_of(agent: Agent, task: Task, ways: Ways, seed: int) -> BaseAlgorithm:
    """Return the model that learns, on environments that begin as those of every other row with this seed."""
    venv = task.vector(ways.n_envs, seed=training_seed(seed), stagger=ways.staggered)
    env = _normalized(agent, venv, carried=ways.carried)
    model = agent.blueprint.build(env=env, seed=seed, verbose=0, **ways.settings)
    # SB3 has seeded the environments by the row's seed, which other episodes share.
    env.seed(training_seed(seed))
    if ways.weights:
        graft(model, agent.methods)
        _take_over(agent.model, model)
    if ways.opened and isinstance(log_std := getattr(model.policy, "log_std", None), torch.nn.Parameter):
        with torch.no_grad():
            log_std.clamp_(min=OPENED)
    return model


def budget(agent: Agent, ways: Ways, steps: int) -> int:
    """Return how many steps to learn for: the most whole rollouts within a budget, but one at least.

    On-policy algorithms train in whole rollouts, and `learn` takes one more where they do not fit.
    """
    if agent.algorithm in OFF_POLICY:
        return steps
    rollout = int(_setting(agent, ways.settings, "n_steps")) * ways.n_envs
    return max(1, steps // rollout) * rollout


def _setting(agent: Agent, settings: Mapping[str, Any], name: str) -> Any:
    return {**defaults(agent.algorithm), **agent.blueprint.hyperparameters, **settings}[name]


def _noise(agent: Agent) -> NormalActionNoise:
    shape = agent.action_space.shape
    return NormalActionNoise(np.zeros(shape), np.full(shape, NOISE))


def _normalized(agent: Agent, venv: VecEnv, *, carried: bool) -> VecEnv:
    saved = agent.normalizer
    if saved is None:
        return venv
    if carried:
        return saved.vec_normalize(venv, training=True, norm_reward=saved.norm_reward)
    keys = None if saved.norm_obs_keys is None else list(saved.norm_obs_keys)
    return VecNormalize(
        venv,
        norm_obs=saved.norm_obs,
        norm_reward=saved.norm_reward,
        clip_obs=saved.clip_obs,
        clip_reward=saved.clip_reward,
        gamma=saved.gamma,
        norm_obs_keys=keys,
    )


def _take_over(before: BaseAlgorithm, model: BaseAlgorithm) -> None:
    """Give a model the weights, the moments of the optimizers and the entropy coefficient of another one."""
    model.policy.load_state_dict(before.policy.state_dict())
    carry_counters(before, model)
    states, variables = saved_names(model)
    for name in variables:
        found, mine = getattr(before, name, None), getattr(model, name, None)
        if isinstance(found, torch.Tensor) and isinstance(mine, torch.Tensor) and found.shape == mine.shape:
            with torch.no_grad():
                mine.copy_(found)
    for name in (name for name in states if "optimizer" in name):
        saved, fresh = follow(before, name), follow(model, name)
        if saved is None or fresh is None or not saved.state:
            continue
        rates = [group["lr"] for group in fresh.param_groups]
        fresh.load_state_dict(copy.deepcopy(saved.state_dict()))
        for group, rate in zip(fresh.param_groups, rates, strict=True):
            group["lr"] = rate
