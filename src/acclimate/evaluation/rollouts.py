"""Steps of an agent in a task, as the tensors that methods ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from acclimate.agents.agent import Agent
from acclimate.evaluation.players import isolated
from acclimate.nets.experience import Batch
from acclimate.sb3.policies.intake import numbers, tensors
from acclimate.sb3.policies.recurrent import remembered, remembers
from acclimate.shifts.masks import tells
from acclimate.tasks.contract import Contract
from acclimate.tasks.task import Task


def collect(agent: Agent, task: Task, steps: int, *, seed: int) -> Batch:
    """Return `steps` consecutive steps of an agent that samples its actions.

    Args:
        agent: Acts; it is not changed.
        task: Where.
        steps: How many, over as many episodes as it takes.
        seed: Of the first episode and of the sampling.

    Returns:
        Normalised observations and next observations, actions as the networks know them, raw rewards, which steps
        ended in a terminal state, and what there was to choose among and was remembered, where the agent reads that.
    """
    env = Contract(task.make(), task.describe())
    rows: list[tuple[Any, Any, float, Any, bool, bool, Any]] = []
    try:
        with isolated(agent, seed):
            observation, _ = env.reset(seed=seed)
            masked, starts, state = agent.masked and tells(env), True, None
            while len(rows) < steps:
                mask = {"action_masks": env.allowed()} if masked else {}
                action, state = agent.predict(observation, state, episode_start=np.array([starts]), **mask)
                following, reward, terminated, truncated, _ = env.step(action)
                told = mask.get("action_masks")
                rows.append((observation, action, float(reward), following, bool(terminated), starts, told))
                starts = bool(terminated or truncated)
                observation = env.reset()[0] if starts else following
    finally:
        env.close()
    before, actions, rewards, after, dones, begins, masks = zip(*rows, strict=True)
    device, policy = agent.device, agent.model.policy
    observations, episodes = _tensors(agent, before), torch.as_tensor(begins, device=device)
    return Batch(
        observations=observations,
        actions=torch.as_tensor(_own_units(agent, np.stack(actions)), device=device),
        rewards=torch.as_tensor(rewards, dtype=torch.float32, device=device),
        next_observations=_tensors(agent, after),
        dones=torch.as_tensor(dones, dtype=torch.float32, device=device),
        masks=torch.as_tensor(np.stack(masks), device=device) if masked else None,
        memory=remembered(policy, observations, episodes) if remembers(policy) else None,
    )


def _tensors(agent: Agent, observations: tuple[Any, ...]) -> Any:
    if isinstance(observations[0], dict):
        stacked: Any = {key: np.stack([o[key] for o in observations]) for key in observations[0]}
    else:
        stacked = np.stack(observations)
    if agent.normalizer is not None:
        stacked = agent.normalizer.normalize_obs(stacked)
    return tensors(agent.model.policy, stacked)


def _own_units(agent: Agent, actions: np.ndarray) -> np.ndarray:
    policy = agent.model.policy
    return numbers(agent.action_space, policy.scale_action(actions) if policy.squash_output else actions)
