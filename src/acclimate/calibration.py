"""A critic's values against what the changed world pays, and the critic put on that scale.

In a harder world a pretrained critic says too much of every action, and training takes the excess away only where it
has data: what the actor has not tried yet goes on looking better than what it has. An error that is the same everywhere
shrinks by `(1 - gamma) * tau` an update (with SB3's usual values a 20,000th), for each target is made of the critic
itself. Scaling the last layer takes most of it away at once and keeps the order of the actions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.agent import Agent
from acclimate.networks import find
from acclimate.outputs import ActionValues
from acclimate.rollouts import as_batch
from acclimate.transitions import Transition, Transitions

_CRITICS = ("critic", "q")


def value_share(agent: Agent, steps: Transitions) -> float | None:
    """Return what an agent's steps were worth, as a share of what its critic says of them.

    The share `s` is the one for which scaled values are consistent over whole episodes, with `G` the discounted rewards
    up to the last step of an episode that the time limit ended, and `Q` the value there:
    `sum G = s * sum (Q - gamma**k * Q_last)`. A terminal state is worth nothing, and nothing is left off.

    Args:
        agent: Off-policy, its critic as it was pretrained.
        steps: Its own in the changed world, whole episodes.

    Returns:
        None where the critic's units are not those of the rewards (they were normalised), where there are no steps, or
        where the two sums have different signs.
    """
    if not steps or (agent.normalizer is not None and agent.normalizer.norm_reward):
        return None
    rows, gamma = list(steps), float(agent.model.gamma)  # type: ignore[attr-defined]
    paid = said = 0.0
    for episode, values in _episodes(rows, _values(agent, rows)):
        rewards = np.array([step.reward for step in episode])
        if not episode[-1].terminated:
            rewards[-1] = 0.0
        worth = _discounted(rewards, gamma)
        rest = 0.0 if episode[-1].terminated else values[-1] * gamma ** np.arange(len(values) - 1, -1, -1)
        paid, said = paid + float(worth.sum()), said + float((values - rest).sum())
    share = paid / said if said else math.nan
    return share if math.isfinite(share) and share > 0 else None


def rescale(model: BaseAlgorithm, share: float) -> None:
    """Multiply what the critics and their targets put out, and with it what SAC weighs entropy by: its unit is theirs.

    Args:
        model: Off-policy, before its first update.
        share: What to multiply by.
    """
    with torch.no_grad():
        for net in find(model):
            for layer in net.layers() if net.role in _CRITICS else ():
                for module in layer.pair if layer.head else ():
                    for parameter in module.parameters():
                        parameter.mul_(share)
        coefficient = getattr(model, "log_ent_coef", None)
        if isinstance(coefficient, torch.Tensor):
            coefficient.add_(math.log(share))


def _values(agent: Agent, rows: list[Transition]) -> NDArray[np.float64]:
    """Return the critic's value of each step's action."""
    (net,) = (net for net in find(agent.model) if net.role in _CRITICS)
    with torch.no_grad():
        said = net.apply(net.module, as_batch(agent, rows))
    # The agent's mode takes the best of a finite number of actions; the heads of a critic judge the same one.
    values = said.values.max(1).values if isinstance(said, ActionValues) else said.values.mean(1)  # type: ignore[union-attr]
    return values.double().cpu().numpy()


def _episodes(
    rows: list[Transition], values: NDArray[np.float64]
) -> Iterator[tuple[list[Transition], NDArray[np.float64]]]:
    start = 0
    for index, step in enumerate(rows):
        if step.terminated or step.truncated:
            yield rows[start : index + 1], values[start : index + 1]
            start = index + 1


def _discounted(rewards: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    worth, after = np.zeros(len(rewards)), 0.0
    for index in range(len(rewards) - 1, -1, -1):
        worth[index] = after = rewards[index] + gamma * after
    return worth
