"""Wrappers of a task, by name: what an agent was trained with belongs to its environment.

They mean the same as in Stable-Baselines3, sb3-contrib and the RL Zoo, so that agents trained there see what
they saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import parse_env_id
from gymnasium.spaces import Box

from acclimate.errors import ConfigError, TaskError
from acclimate.registry import WRAPPERS
from acclimate.tasks.tally import Tally


@dataclass(frozen=True)
class Wrapper:
    """One declared wrapper. Third parties register theirs by the entry point `acclimate.wrappers`."""

    name: ClassVar[str]
    counts: ClassVar[bool] = False
    """Whether it has a `Tally` inside, as it ends episodes early or changes rewards."""

    def apply(self, env: gym.Env) -> gym.Env:
        """Wrap the environment.

        Raises:
            TaskError: if the wrapper does not fit it.
        """
        raise NotImplementedError

    def inner(self, values: np.ndarray) -> np.ndarray:
        """Return those of the values, one for each entry that it shows, which belong to what it wraps."""
        return values

    def to_config(self) -> str | dict[str, Any]:
        """Write the wrapper as its registered name with its fields."""
        return WRAPPERS.config(self)

    @classmethod
    def from_config(cls, value: Any, path: str = "wrapper") -> Self:
        """Make a wrapper from `name`, `{name: value}` or `{name: {field: value}}`.

        Raises:
            ConfigError: if the name or a field cannot be used.
        """
        wrapper = WRAPPERS.build(value, path)
        if not isinstance(wrapper, cls):
            raise ConfigError(f"{path}: expected {cls.__name__}, not {wrapper!r}")
        return wrapper


def within(name: str, value: float, least: float, most: float) -> None:
    """Check that a field lies in its range.

    Raises:
        ConfigError: if it does not.
    """
    if not least <= value <= most:
        raise ConfigError(f"`{name}` is {value}; give a number from {least} to {most}")


class _Stacked(gym.Wrapper):
    """Shows the last observations together, as SB3's VecFrameStack does."""

    def __init__(self, env: gym.Env, frames: int) -> None:
        from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

        super().__init__(env)
        self._stack = StackedObservations(1, frames, env.observation_space)
        self.observation_space = self._stack.stacked_observation_space

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment; the frames before the first are zero."""
        observation, info = self.env.reset(**options)
        return _only(self._stack.reset(_batch(observation))), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment and drop the oldest frame."""
        observation, *rest = self.env.step(action)
        stacked, _ = self._stack.update(_batch(observation), np.zeros(1, dtype=bool), [{}])
        return _only(stacked), *rest


def _batch(observation: Any) -> Any:
    if isinstance(observation, Mapping):
        return {key: _batch(value) for key, value in observation.items()}
    return np.asarray(observation)[None]


def _only(stacked: Any) -> Any:
    if isinstance(stacked, Mapping):
        return {key: _only(value) for key, value in stacked.items()}
    return stacked[0].copy()


@dataclass(frozen=True)
class FrameStack(Wrapper):
    """Show the last frames together: images on the channel axis, vectors one after another."""

    frames: int = 4
    """How many; the agent sees further back with more."""

    name: ClassVar[str] = "frame_stack"

    def __post_init__(self) -> None:
        within("frames", self.frames, 1, 1_000)

    def apply(self, env: gym.Env) -> gym.Env:
        """Stack the frames."""
        parts = getattr(env.observation_space, "spaces", {"": env.observation_space})
        if not isinstance(parts, Mapping) or not all(isinstance(part, Box) for part in parts.values()):
            raise TaskError(f"frame_stack needs Box observations, not {env.observation_space}; leave it out")
        return _Stacked(env, self.frames)

    def inner(self, values: np.ndarray) -> np.ndarray:
        """Return those of the newest frame."""
        return values[-(len(values) // self.frames) :]


@dataclass(frozen=True)
class TimeFeature(Wrapper):
    """Append the share of the episode's time that is left, as sb3-contrib's TimeFeatureWrapper does."""

    max_steps: int = 1000
    """Length of an episode where the environment has no time limit of its own."""
    test_mode: bool = False
    """Whether to show all of the time as left, always."""

    name: ClassVar[str] = "time_feature"

    def __post_init__(self) -> None:
        within("max_steps", self.max_steps, 1, 2**53)

    def apply(self, env: gym.Env) -> gym.Env:
        """Append the time."""
        from sb3_contrib.common.wrappers import TimeFeatureWrapper

        space = getattr(env.observation_space, "spaces", {"observation": env.observation_space})
        vector = space.get("observation") if isinstance(space, Mapping) else None
        if not isinstance(vector, Box) or len(vector.shape) != 1:
            raise TaskError(f"time_feature needs a flat Box observation, not {env.observation_space}; leave it out")
        # sb3-contrib's wrapper replaces the observation space of what it wraps: let that be an empty wrapper.
        return TimeFeatureWrapper(gym.Wrapper(env), max_steps=self.max_steps, test_mode=self.test_mode)

    def inner(self, values: np.ndarray) -> np.ndarray:
        """Leave out that of the time."""
        return values[:-1]


@dataclass(frozen=True)
class Atari(Wrapper):
    """Preprocess Atari frames as SB3's AtariWrapper does. Measured are whole games by their own score all the same."""

    noop_max: int = 30
    """Most idle steps at the start of an episode."""
    frame_skip: int = 4
    """Frames for which an action is held."""
    screen_size: int = 84
    """Width and height of the grey image, pixels."""
    terminal_on_life_loss: bool = True
    """Whether a lost life ends an episode of training. What is measured goes on to the end of the game."""
    clip_reward: bool = True
    """Whether training is given only the sign of a reward. What is measured is the score."""
    action_repeat_probability: float = 0.0
    """Chance that the last action is executed again ("sticky actions")."""

    name: ClassVar[str] = "atari"
    counts: ClassVar[bool] = True

    def __post_init__(self) -> None:
        within("noop_max", self.noop_max, 0, 10_000)
        within("frame_skip", self.frame_skip, 1, 1_000)
        within("screen_size", self.screen_size, 1, 4_096)
        within("action_repeat_probability", self.action_repeat_probability, 0, 1)

    def apply(self, env: gym.Env) -> gym.Env:
        """Preprocess the frames."""
        from stable_baselines3.common.atari_wrappers import AtariWrapper

        if len(env.observation_space.shape or ()) != 3 or not hasattr(env.unwrapped, "ale"):
            raise TaskError(f"atari needs an Atari environment, not {env}; leave it out")
        try:
            return AtariWrapper(
                Tally(env),
                noop_max=self.noop_max,
                frame_skip=self.frame_skip,
                screen_size=self.screen_size,
                terminal_on_life_loss=self.terminal_on_life_loss,
                clip_reward=self.clip_reward,
                action_repeat_probability=self.action_repeat_probability,
            )
        except gym.error.DependencyNotInstalled as error:
            raise TaskError(f"atari needs OpenCV ({error}); install opencv-python-headless") from error


_VISIBLE = {
    "CartPole": (1, 0, 1, 0),
    "MountainCar": (1, 0),
    "MountainCarContinuous": (1, 0),
    "Pendulum": (1, 1, 0),
    "LunarLander": (1, 1, 0, 0, 1, 0, 1, 1),
    "LunarLanderContinuous": (1, 1, 0, 0, 1, 0, 1, 1),
}


class _Masked(gym.ObservationWrapper):
    """Multiplies each observation by a mask."""

    def __init__(self, env: gym.Env, mask: tuple[int, ...]) -> None:
        super().__init__(env)
        self._mask = np.array(mask, dtype=env.observation_space.dtype)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """Multiply."""
        return observation * self._mask


@dataclass(frozen=True)
class MaskVelocity(Wrapper):
    """Show velocities as zero, as the RL Zoo does to the classic tasks of recurrent agents."""

    name: ClassVar[str] = "mask_velocity"

    def apply(self, env: gym.Env) -> gym.Env:
        """Mask the velocities."""
        _, game, _ = parse_env_id(env.spec.id) if env.spec else (None, "", None)
        if game not in _VISIBLE:
            raise TaskError(f"mask_velocity knows {', '.join(_VISIBLE)} and not {env}; leave it out")
        return _Masked(env, _VISIBLE[game])
