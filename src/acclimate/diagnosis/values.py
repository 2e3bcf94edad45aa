"""How far what a critic says is from what was paid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acclimate.errors import SurgeryError
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.nets.outputs import ActionValues, Drawn, Gaussian, Outputs, Point, Values

REST = 0.1
"""Weight of what an unfinished episode would still have paid, up to which a step's return counts as known."""


def returns_to_go(
    rewards: NDArray[np.floating], terminated: NDArray[np.bool_], ended: NDArray[np.bool_], discount: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the discounted sum of what followed each step, and where it is known.

    It is known where the episode terminated, and where what was cut off would weigh at most `REST`: discount^n for n
    steps up to the cut.

    Args:
        rewards: (steps,) of one environment, in order.
        terminated: whether the step led to a terminal state.
        ended: whether it ended its episode, by a terminal state or a cut.
        discount: gamma.
    """
    total = np.zeros(len(rewards))
    known = np.zeros(len(rewards), dtype=bool)
    later, rest = 0.0, 1.0
    for step in reversed(range(len(rewards))):
        if ended[step]:
            later, rest = 0.0, 0.0 if terminated[step] else 1.0
        later = float(rewards[step]) + discount * later
        rest *= discount
        total[step], known[step] = later, rest <= REST
    return total, known


def bias(values: Tensor, returns: Tensor) -> float:
    """Return mean value minus mean return; above 0 the critic promises too much."""
    return float(values.detach().mean() - returns.mean())


def spread(values: Tensor) -> float:
    """Return the mean standard deviation across critics, in units of the mean absolute value.

    Args:
        values: (rows, critics).
    """
    size = values.detach().abs().mean().clamp(min=1e-12)
    return float(values.detach().std(1, correction=0).mean() / size)


def td_error(values: Tensor, rewards: Tensor, following: Tensor, dones: Tensor, discount: float) -> float:
    """Return the mean of |r + discount * (1 - done) * V(s') - Q(s, a)|."""
    target = rewards + discount * (1.0 - dones) * following
    return float((target - values).detach().abs().mean())


@torch.no_grad()
def each_critic(net: Net, outputs: Outputs, actions: Tensor) -> Tensor:
    """Return the value of the actions by each critic of a network, (rows, critics); quantiles are averaged."""
    if isinstance(outputs, ActionValues):
        return outputs.values.gather(1, actions.long().reshape(-1, 1))
    if not isinstance(outputs, Values):
        raise SurgeryError(f"`{net.role}` puts out a {type(outputs).__name__}, which holds no values; give a critic")
    critics = max(len(net.heads), 1)
    return outputs.values.reshape(len(outputs.values), critics, -1).mean(-1)


@torch.no_grad()
def temporal_difference(nets: Mapping[str, Net], batch: Batch, discount: float) -> float | None:
    """Return the mean absolute TD error of the most likely next action, by the target network where there is one.

    The entropy that SAC adds is left out, so that the figure means the same for all algorithms. None for a critic of
    states alone, and for a batch that does not say what followed.

    Args:
        nets: the networks by role.
        batch: off-policy experience, as the networks read it now.
        discount: gamma.
    """
    if batch.rewards is None or batch.next_observations is None or batch.dones is None or batch.actions is None:
        return None
    rewards, dones = batch.rewards.flatten(), batch.dones.flatten()
    if (net := nets.get("q")) is not None:
        following = net.apply(net.twin or net.module, Batch(batch.next_observations))
        if not isinstance(following, ActionValues):
            return None
        now = each_critic(net, net.apply(net.module, batch), batch.actions).mean(1)
        return td_error(now, rewards, following.values.max(1).values, dones, discount)
    actor, critic = nets["actor"], nets["critic"]
    acts = mode(actor.apply(actor.module, Batch(batch.next_observations)))
    if actor.on_policy or acts is None:
        return None
    after = critic.apply(critic.twin or critic.module, Batch(batch.next_observations, acts))
    now = each_critic(critic, critic.apply(critic.module, batch), batch.actions).mean(1)
    return td_error(now, rewards, each_critic(critic, after, acts).min(1).values, dones, discount)


def mode(outputs: Outputs) -> Tensor | None:
    """Return the most likely action of a continuous policy, in its own units; None for others."""
    if isinstance(outputs, Gaussian):
        return outputs.mean.tanh() if outputs.squashed else outputs.mean
    if isinstance(outputs, Drawn):
        return outputs.choose()
    return outputs.action if isinstance(outputs, Point) else None
