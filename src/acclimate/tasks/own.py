"""A wrapper class of the user's own, by its place."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym

from acclimate.errors import ConfigError
from acclimate.tasks.wrappers import Wrapper


@dataclass(frozen=True)
class Own(Wrapper):
    """Wrap an environment in a class that is imported: `module:Class`, called with the environment alone.

    It is in no registry, so that no file can ask for it.
    """

    place: str
    """The module, a colon, and the name of the class in it."""

    name: ClassVar[str] = "own"

    def __post_init__(self) -> None:
        self._imported()

    def _imported(self) -> Any:
        module, _, attribute = self.place.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"the wrapper `{self.place}` cannot be imported: {error}") from error
        if not callable(found):
            raise ConfigError(f"`{self.place}` is no class of a wrapper; name one")
        return found

    def apply(self, env: gym.Env) -> gym.Env:
        """Wrap the environment."""
        return self._imported()(env)
