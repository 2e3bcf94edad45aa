"""Who acts in an episode: an agent by its `predict`, or chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.agents.agent import Agent


class Player(Protocol):
    """What `evaluate` asks for actions."""

    def begin(self, slot: int, seed: int) -> None:
        """Learn that a slot of the batch starts the episode with this seed."""

    def act(self, observations: Sequence[Any], starts: NDArray[np.bool_]) -> Sequence[Any]:
        """Return one action per slot; `starts` marks those whose episode has just begun."""


class RandomPlayer:
    """Uniformly random actions; each episode has a stream of its own, whatever runs beside it."""

    def __init__(self, space: gym.Space[Any]) -> None:
        self.space = space
        self.spaces: dict[int, gym.Space[Any]] = {}

    def begin(self, slot: int, seed: int) -> None:
        """Give the slot the stream of its episode."""
        self.spaces[slot] = deepcopy(self.space)
        self.spaces[slot].seed(seed)

    def act(self, observations: Sequence[Any], starts: NDArray[np.bool_]) -> Sequence[Any]:
        """Sample one action per slot."""
        return [self.spaces[slot].sample() for slot in range(len(observations))]


class AgentPlayer:
    """An agent with the recurrent states of its episodes."""

    def __init__(self, agent: Agent, deterministic: bool) -> None:
        self.agent, self.deterministic = agent, deterministic
        self.state: tuple[NDArray[Any], ...] | None = None

    def begin(self, slot: int, seed: int) -> None:
        """Do nothing: the states are reset by `starts`."""

    def act(self, observations: Sequence[Any], starts: NDArray[np.bool_]) -> Sequence[Any]:
        """Return what `agent.predict` says."""
        actions, self.state = self.agent.predict(
            _stack(observations), self.state, episode_start=starts, deterministic=self.deterministic
        )
        return actions


def _stack(observations: Sequence[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {key: np.stack([seen[key] for seen in observations]) for key in observations[0]}
    return np.stack(observations)


@contextmanager
def isolated(agent: Agent, seed: int) -> Iterator[None]:
    """Seed what a policy samples from (torch, numpy, the action space), and put it all back afterwards."""
    device, space = torch.device(agent.device), agent.model.action_space
    index = [device.index or 0] if device.type == "cuda" else []
    numpy_state, space_state = np.random.get_state(), space.np_random.bit_generator.state
    with torch.random.fork_rng(devices=index):
        # Not `torch.manual_seed`: it would reseed every accelerator, and only the agent's own is put back.
        torch.default_generator.manual_seed(seed)
        for number in index:
            torch.cuda.default_generators[number].manual_seed(seed)
        np.random.seed(seed % 2**32)
        space.np_random.bit_generator.state = np.random.PCG64(seed).state
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            space.np_random.bit_generator.state = space_state
