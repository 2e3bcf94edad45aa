"""sb3-contrib's recurrent policies, run on rows of which each has what was remembered before it (`Memory`).

sb3-contrib runs sequences that are filled up to one length, through all layers. Here the LSTMs alone see them so; what
stands before and behind sees each row once, in the order of the batch, as whoever listens to a layer expects.
"""

from __future__ import annotations

from typing import Any

import torch
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor, nn

from acclimate.nets.experience import Batch, Memory, sequences

ACTOR, CRITIC = slice(0, 2), slice(2, 4)
"""The parts of a memory: hidden and cell state of the actor's LSTM, and of the critic's."""


def remembers(policy: Any) -> bool:
    """Tell whether a policy is a recurrent one."""
    return isinstance(policy, RecurrentActorCriticPolicy)


def distribution(policy: Any, batch: Batch) -> Distribution:
    """Return the distribution of the action of each row."""
    features = BasePolicy.extract_features(policy, batch.observations, policy.pi_features_extractor)
    latent = _through(policy.lstm_actor, features, batch, ACTOR)
    return policy._get_action_dist_from_latent(policy.mlp_extractor.forward_actor(latent))


def values(policy: Any, batch: Batch) -> Tensor:
    """Return the value of each row, (rows, 1)."""
    features = BasePolicy.extract_features(policy, batch.observations, policy.vf_features_extractor)
    if policy.lstm_critic is not None:
        latent = _through(policy.lstm_critic, features, batch, CRITIC)
    elif policy.shared_lstm:
        latent = _through(policy.lstm_actor, features, batch, ACTOR).detach()
    else:
        latent = policy.critic(features)
    return policy.value_net(policy.mlp_extractor.forward_critic(latent))


def nothing(policy: Any, rows: int) -> Tensor:
    """Return what is remembered where an episode begins: zeros, (rows, parts, layers, units)."""
    lstm = policy.lstm_actor
    return torch.zeros(rows, 4, lstm.num_layers, lstm.hidden_size, device=policy.device)


@torch.no_grad()
def after(policy: Any, observations: Any, before: Tensor, starts: Tensor) -> Tensor:
    """Return what is remembered after a step, in the form of what was `before` it.

    Args:
        policy: whose LSTMs.
        observations: as it reads them, a row for each environment.
        before: (environments, parts, layers, units).
        starts: (environments,) of bool, whether an episode begins with the step.
    """
    before = torch.where(starts.view(-1, 1, 1, 1), torch.zeros_like(before), before)
    parts = []
    for lstm, extractor, part in (
        (policy.lstm_actor, policy.pi_features_extractor, ACTOR),
        (policy.lstm_critic, policy.vf_features_extractor, CRITIC),
    ):
        if lstm is None:
            # sb3-contrib keeps the actor's in the place of a critic's that there is not.
            parts.append(parts[0])
            continue
        features = BasePolicy.extract_features(policy, observations, extractor)
        _, states = lstm(features[None], _states(before[:, part]))
        parts.append(torch.stack(states).permute(2, 0, 1, 3))
    return torch.cat(parts, 1)


def remembered(policy: Any, observations: Any, starts: Tensor) -> Memory:
    """Return the memory of consecutive steps of one environment, by the policy that took them.

    Args:
        policy: recurrent.
        observations: as it reads them, a row for each step.
        starts: (rows,) of bool, whether an episode begins; the first one does.
    """
    steps, state, states = Batch(observations), nothing(policy, 1), []
    for row in range(len(starts)):
        states.append(state)
        state = after(policy, steps.rows(slice(row, row + 1)).observations, state, starts[row : row + 1])
    return {"now": torch.cat(states), "starts": starts, "place": torch.arange(len(starts), device=starts.device)}


def _through(lstm: nn.LSTM, features: Tensor, batch: Batch, part: slice) -> Tensor:
    """Return what an LSTM puts out for each row, (rows, units)."""
    if batch.memory is None:
        return lstm(features[None])[0][0]
    table, places = sequences(batch.memory)
    first = table[:, 0]
    before = batch.memory["now"][first, part]
    before = torch.where(batch.memory["starts"][first].view(-1, 1, 1, 1), torch.zeros_like(before), before)
    out, _ = lstm(features[table].swapaxes(0, 1), _states(before))
    return out.swapaxes(0, 1).flatten(0, 1)[places]


def _states(part: Tensor) -> tuple[Tensor, Tensor]:
    """Return hidden and cell state, (layers, rows, units) each, of (rows, 2, layers, units)."""
    hidden, cell = part.permute(1, 2, 0, 3)
    return hidden.contiguous(), cell.contiguous()
