"""How an agent was trained: its file's settings, and where that keeps functions, which are never run, the config's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError

FUNCTIONS = ("learning_rate", "clip_range", "train_freq", "gradient_steps")
"""Settings that a file may keep as functions."""


@dataclass(frozen=True)
class Falling:
    """A setting that falls linearly to 0."""

    start: float

    def __call__(self, remaining: float) -> float:
        """Return it where so much of the training remains."""
        return self.start * max(remaining, 0.0)

    def __str__(self) -> str:
        return f"{self.start:.4g}, falling to 0"


def hinted(agent: Agent) -> dict[str, Any]:
    """Return what the config beside a file says of settings that the file does not give.

    Raises:
        ConfigError: It says nothing that can be understood.
    """
    config, known = agent.origin.config, agent.blueprint.hyperparameters
    return {name: setting(name, config[name]) for name in FUNCTIONS if name in config and name not in known}


def settings_of(agent: Agent) -> Mapping[str, Any]:
    """Return the settings of an agent's pretraining, as far as they are known.

    What a config says that cannot be understood is as if it were not said.
    """
    try:
        return {**hinted(agent), **agent.blueprint.hyperparameters}
    except ConfigError:
        return agent.blueprint.hyperparameters


def envs_of(agent: Agent) -> int:
    """Return in how many environments an agent was trained, by its config or its file."""
    return int(agent.origin.config.get("n_envs") or agent.origin.n_envs or 1)


def setting(name: str, value: Any) -> Any:
    """Return a setting as SB3 takes it; `lin_x` falls linearly from x to 0.

    Raises:
        ConfigError: It is words that say nothing.
    """
    if name == "train_freq" and isinstance(value, int) and value < 1:
        return (1, "episode")  # the way of older versions to say it
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    try:
        start = float(value.removeprefix("lin_"))
    except ValueError:
        raise ConfigError(f"saved.{name} is {value[:40]!r}; give a number, or `lin_` and a number") from None
    return Falling(start) if value.startswith("lin_") else start
