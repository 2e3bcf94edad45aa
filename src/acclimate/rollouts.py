"""Steps of an agent in a task, as the tensors that methods ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from acclimate.agent import Agent
from acclimate.environment import blamed
from acclimate.method import Batch
from acclimate.player import isolated
from acclimate.task import Task
from acclimate.transitions import Transition


def collect(agent: Agent, task: Task, steps: int, *, seed: int) -> Batch:
    """Return `steps` consecutive steps of an agent that samples its actions.

    Args:
        agent: Acts; it is not changed.
        task: Where.
        steps: How many, over as many episodes as it takes.
        seed: Of the first episode and of the sampling.

    Returns:
        The steps as `as_batch` has them.
    """
    env = task.make()
    rows: list[Transition] = []
    try:
        with isolated(agent, seed), blamed(task.describe()):
            observation, _ = env.reset(seed=seed)
            while len(rows) < steps:
                action, _ = agent.predict(observation)
                following, reward, terminated, truncated, _ = env.step(action)
                rows.append(
                    Transition(observation, action, float(reward), following, bool(terminated), bool(truncated))
                )
                observation = env.reset()[0] if terminated or truncated else following
    finally:
        env.close()
    return as_batch(agent, rows)


def as_batch(agent: Agent, steps: Sequence[Transition]) -> Batch:
    """Return steps as an agent's networks know them.

    Returns:
        Normalised observations and next observations, actions in the policy's units, raw rewards, and which steps
        ended in a terminal state.
    """
    device = agent.device
    return Batch(
        observations=_tensors(agent, [step.observation for step in steps]),
        actions=torch.as_tensor(_own_units(agent, np.stack([step.action for step in steps])), device=device),
        rewards=torch.as_tensor([step.reward for step in steps], dtype=torch.float32, device=device),
        next_observations=_tensors(agent, [step.following for step in steps]),
        dones=torch.as_tensor([step.terminated for step in steps], dtype=torch.float32, device=device),
    )


def _tensors(agent: Agent, observations: list[Any]) -> Any:
    if isinstance(observations[0], dict):
        stacked: Any = {key: np.stack([o[key] for o in observations]) for key in observations[0]}
    else:
        stacked = np.stack(observations)
    if agent.normalizer is not None:
        stacked = agent.normalizer.normalize_obs(stacked)
    tensors, _ = agent.model.policy.obs_to_tensor(stacked)
    return tensors


def _own_units(agent: Agent, actions: np.ndarray) -> np.ndarray:
    policy = agent.model.policy
    return policy.scale_action(actions) if policy.squash_output else actions
