"""Hindsight (HER): what an agent's replay buffer does with goals, as data, and the episodes of SB3's buffer for it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.her.goal_selection_strategy import KEY_TO_GOAL_STRATEGY, GoalSelectionStrategy

from acclimate.config import from_dict
from acclimate.errors import ConfigError

GOALS = ("achieved_goal", "desired_goal")
STRATEGIES = {strategy.value: name for name, strategy in KEY_TO_GOAL_STRATEGY.items()}
"""SB3's names of the ways to choose goals, by the numbers that pickles have for them."""
_MOST_GOALS = 10_000


@dataclass(frozen=True)
class Hindsight:
    """The arguments of SB3's `HerReplayBuffer`, under its own names."""

    n_sampled_goal: int = 4
    """Goals drawn for each real step."""
    goal_selection_strategy: Literal["final", "future", "episode"] = "future"
    copy_info_dict: bool = False
    """Whether `compute_reward` gets the infos of the steps."""

    def __post_init__(self) -> None:
        if not 0 <= self.n_sampled_goal <= _MOST_GOALS:
            raise ConfigError(f"n_sampled_goal is {self.n_sampled_goal}; give a number from 0 to {_MOST_GOALS}")

    @classmethod
    def of(cls, kwargs: Mapping[str, Any], space: spaces.Space, where: str) -> Hindsight | None:
        """Return what a buffer's arguments say, those that it has no more left out; None where there are no goals.

        Raises:
            ConfigError: A value is none that the buffer takes.
        """
        if not isinstance(space, spaces.Dict) or not set(GOALS) <= set(space.spaces):
            return None
        known = {field.name: kwargs[field.name] for field in fields(cls) if field.name in kwargs}
        strategy = known.get("goal_selection_strategy")
        if isinstance(strategy, GoalSelectionStrategy):
            known["goal_selection_strategy"] = STRATEGIES[strategy.value]
        elif isinstance(strategy, str):
            known["goal_selection_strategy"] = strategy.lower()
        return from_dict(cls, known, path=where)

    def arguments(self, others: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return it as arguments of an SB3 algorithm, with others that the buffer has."""
        return {"replay_buffer_class": HerReplayBuffer, "replay_buffer_kwargs": {**(others or {}), **asdict(self)}}

    def __str__(self) -> str:
        """Say it in a few words."""
        return f"{self.n_sampled_goal} goals a step, drawn by `{self.goal_selection_strategy}`"


def can_draw(buffer: Any) -> bool:
    """Tell whether a buffer can be drawn from: one for hindsight only has whole episodes to give."""
    return not isinstance(buffer, HerReplayBuffer) or bool((buffer.ep_length > 0).any())


def keeps_infos(buffer: Any) -> bool:
    """Tell whether a buffer holds what an environment says beside its observations, which no file of ours can."""
    return isinstance(buffer, HerReplayBuffer) and buffer.copy_info_dict


def find_episodes(buffer: Any) -> None:
    """Find the episodes in a buffer that was filled from a file, by their ends; the last one is taken as cut off there.

    Does nothing to a buffer without hindsight. Where the buffer had wrapped around, the steps before the first end are
    what is left of an episode, which is not drawn from.
    """
    if not isinstance(buffer, HerReplayBuffer):
        return
    size, filled = buffer.buffer_size, buffer.buffer_size if buffer.full else buffer.pos
    order = (np.arange(filled) + (buffer.pos if buffer.full else 0)) % size
    buffer.ep_start[:], buffer.ep_length[:] = 0, 0
    for env in range(buffer.n_envs):
        ends = np.flatnonzero(buffer.dones[order, env])
        starts = np.concatenate([[0], ends + 1])
        for start, end in list(zip(starts, ends, strict=False))[bool(buffer.full) :]:
            buffer.ep_start[order[start : end + 1], env] = order[start]
            buffer.ep_length[order[start : end + 1], env] = end + 1 - start
        begun = int(starts[-1])
        buffer._current_ep_start[env] = order[begun] if begun < filled else buffer.pos
        buffer.ep_start[order[begun:], env] = buffer._current_ep_start[env]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        buffer.truncate_last_trajectory()
