"""Who acts in an episode: an agent by `predict`, a plain network by its forward pass, or chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Protocol

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space

if TYPE_CHECKING:
    from acclimate.agent import Agent


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


class FeedforwardPlayer(AgentPlayer):
    """The mode of a plain network on flat observations, without what SB3's `predict` does around it.

    The first batch is computed both ways; where they differ in a single bit, `predict` does the rest too.
    """

    def __init__(self, agent: Agent, policy: BasePolicy) -> None:
        super().__init__(agent, deterministic=True)
        self.policy = policy
        self.normalize: Callable[[Any], Any] = agent.normalizer.normalize_obs if agent.normalizer else np.asarray
        self.short: bool | None = None
        policy.set_training_mode(False)

    def act(self, observations: Sequence[Any], starts: NDArray[np.bool_]) -> Sequence[Any]:
        """Return the mode for each slot."""
        if self.short:
            return self._forward(observations)
        actions = super().act(observations, starts)
        if self.short is None:
            self.short = np.array_equal(actions, self._forward(observations))
        return actions

    def _forward(self, observations: Sequence[Any]) -> NDArray[Any]:
        policy, space = self.policy, self.policy.action_space
        with torch.inference_mode():
            batch = torch.as_tensor(self.normalize(np.stack(observations)), device=policy.device)
            actions = policy._predict(batch, deterministic=True).cpu().numpy().reshape(-1, *space.shape)
        if not isinstance(space, gym.spaces.Box):
            return actions
        return policy.unscale_action(actions) if policy.squash_output else np.clip(actions, space.low, space.high)


def player_of(agent: Agent, deterministic: bool) -> AgentPlayer:
    """Choose the fastest player that acts as the agent does."""
    policy, space = agent.model.policy, agent.observation_space
    flat = isinstance(space, gym.spaces.Box) and not is_image_space(space)
    # A policy with a `predict` of its own keeps a state or takes masks: that is for it to do.
    plain = isinstance(policy, BasePolicy) and type(policy).predict is BasePolicy.predict
    return FeedforwardPlayer(agent, policy) if deterministic and flat and plain else AgentPlayer(agent, deterministic)


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
