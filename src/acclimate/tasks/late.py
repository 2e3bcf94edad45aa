"""An environment that is there only while it is used, where no two may be: a simulator with one port."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

_SEEDS = 2**30
"""Of later episodes are as large at least: no evaluation's are."""


class Late(gym.Env):
    """Opens an environment when it is first reset or asked for anything but its spaces; closed, it opens it anew.

    Every episode has a seed, the first one's or one drawn from it: so an episode that has only been begun can be begun
    again, in another environment, after another has had the place.
    """

    def __init__(self, make: Callable[[], gym.Env], observation_space: gym.Space, action_space: gym.Space) -> None:
        """Hold what makes it, and the spaces that it has."""
        self.observation_space, self.action_space = observation_space, action_space
        self._make = make
        self._inner: gym.Env | None = None
        self._seeds = np.random.default_rng()
        self._begun: dict[str, Any] | None = None
        """How the episode was begun of which no step was taken yet."""

    def _opened(self) -> gym.Env:
        if self._inner is None:
            self._inner = self._make()
            if self._begun is not None:
                self._inner.reset(**self._begun)
        return self._inner

    @property
    def unwrapped(self) -> gym.Env:
        """The bare environment, while it is open."""
        return self if self._inner is None else self._inner.unwrapped

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        if seed is None:
            drawn = int(self._seeds.integers(_SEEDS, 2 * _SEEDS))
        else:
            drawn, self._seeds = seed, np.random.default_rng(seed)
        self._begun = None
        begun = self._opened().reset(seed=drawn, options=options)
        self._begun = {"seed": drawn, "options": options}
        return begun

    def rest(self) -> bool:
        """Close it until it is used again, if its episode has only been begun; tell whether that was so."""
        if self._begun is None:
            return False
        self.close()
        return True

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step; after a rest, of the episode that was begun before it."""
        env, self._begun = self._opened(), None
        return env.step(action)

    def render(self) -> Any:
        """Render it."""
        return self._opened().render()

    def close(self) -> None:
        """Close it, if it is open."""
        if self._inner is not None:
            self._inner.close()
            self._inner = None

    def get_wrapper_attr(self, name: str) -> Any:
        """Return an attribute of the environment."""
        return getattr(self, name) if hasattr(type(self), name) else self._opened().get_wrapper_attr(name)

    def has_wrapper_attr(self, name: str) -> bool:
        """Tell whether the environment has an attribute."""
        return hasattr(type(self), name) or self._opened().has_wrapper_attr(name)

    def set_wrapper_attr(self, name: str, value: Any, *, force: bool = True) -> bool:
        """Set an attribute of the environment."""
        return self._opened().set_wrapper_attr(name, value, force=force)
