"""Who acts in an episode: an agent by its `predict`, or chance."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.agents.agent import Agent
from acclimate.shifts.masks import sampled

Mask = NDArray[np.bool_] | None
UNMASKED = (
    "the agent was trained to choose among what an environment's `action_masks()` allows, and this one has none: it "
    "chooses among all actions. Wrap the environment in sb3_contrib.common.wrappers.ActionMasker"
)


class Player(Protocol):
    """What `evaluate` asks for actions."""

    def begin(self, slot: int, seed: int) -> None:
        """Learn that a slot of the batch starts the episode with this seed."""

    def act(self, observations: Sequence[Any], starts: NDArray[np.bool_], masks: Sequence[Mask]) -> Sequence[Any]:
        """Return one action per slot.

        Args:
            observations: What each slot sees.
            starts: Marks the slots whose episode has just begun, shape (slots,).
            masks: Which actions each slot allows; None where the environment does not tell.
        """


class RandomPlayer:
    """Uniformly random actions; each episode has a stream of its own, whatever runs beside it."""

    def __init__(self, space: gym.Space[Any]) -> None:
        self.space = space
        self.spaces: dict[int, gym.Space[Any]] = {}

    def begin(self, slot: int, seed: int) -> None:
        """Give the slot the stream of its episode."""
        self.spaces[slot] = deepcopy(self.space)
        self.spaces[slot].seed(seed)

    def act(self, observations: Sequence[Any], starts: NDArray[np.bool_], masks: Sequence[Mask]) -> Sequence[Any]:
        """Sample one action per slot, among those that are allowed."""
        spaces = (self.spaces[slot] for slot in range(len(observations)))
        return [s.sample() if mask is None else sampled(s, mask) for s, mask in zip(spaces, masks, strict=True)]


class ConstantPlayer:
    """One action, whatever is seen; where it is not allowed, the first one that is."""

    def __init__(self, action: Any) -> None:
        self.action = action

    def begin(self, slot: int, seed: int) -> None:
        """Do nothing."""

    def act(self, observations: Sequence[Any], starts: NDArray[np.bool_], masks: Sequence[Mask]) -> Sequence[Any]:
        """Return it for each slot."""
        return [self.action if mask is None or mask[self.action] else int(np.argmax(mask)) for mask in masks]


class AgentPlayer:
    """An agent with the recurrent states of its episodes."""

    def __init__(self, agent: Agent, deterministic: bool) -> None:
        self.agent, self.deterministic = agent, deterministic
        self.state: tuple[NDArray[Any], ...] | None = None
        self.unmasked = False
        """Whether it was told that its agent chooses without a mask."""

    def begin(self, slot: int, seed: int) -> None:
        """Do nothing: the states are reset by `starts`."""

    def act(self, observations: Sequence[Any], starts: NDArray[np.bool_], masks: Sequence[Mask]) -> Sequence[Any]:
        """Return what `agent.predict` says; an agent that was trained with masks gets them."""
        masked = {"action_masks": np.stack(masks)} if self.agent.masked and masks[0] is not None else {}
        if self.agent.masked and not masked and not self.unmasked:
            self.unmasked = True
            warnings.warn(UNMASKED, stacklevel=2)
        actions, self.state = self.agent.predict(
            stacked(observations), self.state, episode_start=starts, deterministic=self.deterministic, **masked
        )
        return actions


def stacked(observations: Sequence[Any]) -> Any:
    """Return what slots see as a batch: an array, or a dict of them."""
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
