"""A whole agent as one module: raw observations in, actions for the environment out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from acclimate.agents.agent import Agent
from acclimate.exporting.contract.ports import MASKS, OBSERVATION, Ports, parts, ports_of
from acclimate.sb3.normalizer import Normalizer
from acclimate.sb3.policies.intake import channels_first
from acclimate.sb3.policies.mode import choice_of, remembering_scores, scores
from acclimate.sb3.policies.recurrent import remembers


class Scaled(nn.Module):
    """What a normaliser does to one input, in 64 bits like it, as features that never change leave nothing to round."""

    def __init__(self, mean: np.ndarray, variance: np.ndarray, normalizer: Normalizer) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float64))
        self.register_buffer("std", torch.as_tensor(np.sqrt(variance + normalizer.epsilon), dtype=torch.float64))
        self.clip = normalizer.clip_obs

    def forward(self, raw: Tensor) -> Tensor:
        """Return scaled observations in 32 bits."""
        return ((raw.double() - self.mean) / self.std).clamp(-self.clip, self.clip).float()


class Bounded(nn.Module):
    """Brings actions into the bounds of a Box: stretched where they were squashed, clipped always."""

    def __init__(self, space: spaces.Box, squashed: bool) -> None:
        super().__init__()
        self.squashed, self.endless = squashed, not (space.bounded_below.any() or space.bounded_above.any())
        self.register_buffer("low", torch.as_tensor(space.low))
        self.register_buffer("high", torch.as_tensor(space.high))

    def forward(self, actions: Tensor) -> Tensor:
        """Return the actions, (batch, *shape), in the type of the bounds."""
        if self.squashed:
            actions = self.low + 0.5 * (actions + 1.0) * (self.high - self.low)
        # Stretching rounds, so that the clipping is needed there too.
        return actions if self.endless else actions.clamp(self.low, self.high)


class Graph(nn.Module):
    """Decides as `Agent.predict(..., deterministic=True)` does.

    Attributes:
        agent: The copy that it decides by.
        ports: What `forward` takes and returns, in this order.
    """

    def __init__(self, agent: Agent, *, channels_last: bool = True) -> None:
        """Copy all that decides onto the CPU.

        Args:
            agent: stays as it is.
            channels_last: whether images come as most environments give them, and not as the network reads them.

        Raises:
            MisfitError: The policy is of a kind that cannot be written as a graph.
        """
        super().__init__()
        self.agent = own = Agent.of(agent.parts(), agent.normalizer)
        policy = own.model.policy
        policy.set_training_mode(False)
        self.policy, self.choice = policy.requires_grad_(False), choice_of(policy)
        self.actions, self.kind = agent.action_space, torch.as_tensor(np.zeros(0, agent.action_space.dtype)).dtype
        self.scaling = _scaling(own)
        self.scalers = nn.ModuleList(self.scaling.values())
        bounded = isinstance(self.actions, spaces.Box)
        self.squashed = bounded and policy.squash_output
        self.bounds = Bounded(self.actions, self.squashed) if bounded else None
        images = {name for name, part in parts(own.observation_space) if channels_first(part)}
        self.turned = frozenset(images - self.scaling.keys()) if channels_last else frozenset()
        lstm = policy.lstm_actor if remembers(policy) else None
        self.ports: Ports = ports_of(
            own.observation_space,
            self.actions,
            turned=self.turned,
            memory=None if lstm is None else (lstm.num_layers, lstm.hidden_size),
            masked=agent.masked,
        )

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return actions, and the next hidden and cell state of a policy that remembers."""
        found, *state = self.scores(*inputs)
        actions = self.choice.pick(found).reshape(-1, *(self.actions.shape or ()))
        actions = actions.to(self.kind)
        return (actions if self.bounds is None else self.bounds(actions), *state)

    def scores(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what is chosen by, (batch, scores), and the next state."""
        given = dict(zip((port.name for port in self.ports.inputs), inputs, strict=True))
        seen = self.seen(given)
        if not self.ports.remembers:
            return (scores(self.policy, seen, given.get(MASKS)),)
        *_, hidden, cell, starts = inputs
        found, state = remembering_scores(self.policy, seen, (hidden, cell), starts)
        return found, *state

    def seen(self, given: Mapping[str, Tensor]) -> Any:
        """Return raw observations, by the names of their inputs, as the policy reads them."""
        seen = {}
        for name, part in parts(self.policy.observation_space):
            raw = given[name]
            if name in self.turned:
                raw = raw.permute(0, 3, 1, 2)
            if isinstance(part, spaces.Discrete):
                raw = raw.reshape(-1)
            seen[name] = self.scaling[name](raw) if name in self.scaling else raw
        if OBSERVATION in seen:
            return seen[OBSERVATION]
        return {name.removeprefix(f"{OBSERVATION}."): value for name, value in seen.items()}


def _scaling(agent: Agent) -> dict[str, Scaled]:
    """Return what scales each input that the agent's normaliser knows."""
    normalizer = agent.normalizer
    if normalizer is None or not normalizer.norm_obs:
        return {}
    mean, variance = normalizer.obs_mean, normalizer.obs_var
    if isinstance(mean, dict) and isinstance(variance, dict):
        return {f"{OBSERVATION}.{key}": Scaled(mean[key], variance[key], normalizer) for key in mean}
    return {OBSERVATION: Scaled(np.asarray(mean), np.asarray(variance), normalizer)}
