"""The world that an agent was trained in, as its own files tell it: the zip, and what the RL Zoo writes beside one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import gymnasium as gym

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError
from acclimate.tasks.environment import modern_id
from acclimate.tasks.task import Task
from acclimate.tasks.wrappers import Wrapper
from acclimate.tasks.zoo import NAMED, from_zoo


@dataclass(frozen=True)
class Home:
    """The world that files tell of, and what of it they told."""

    task: Task
    """Without shifts."""
    notes: tuple[str, ...]
    """What was taken from the files, a line each; what is given by hand is not among it."""

    def __str__(self) -> str:
        """Return the notes, or the task where the files told nothing."""
        return "\n".join(self.notes) or self.task.describe()


def home(
    agent: Agent,
    *,
    env: str | Callable[..., gym.Env] | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    wrappers: Sequence[Wrapper] = (),
) -> Home:
    """Return the world that an agent was trained in: its environment in today's version, arguments and wrappers.

    Args:
        agent: Whose files are asked. Nothing is imported that they name.
        env: As a task has it, in the place of theirs, whose arguments then do not count.
        env_kwargs: Arguments of the environment, before theirs.
        wrappers: In the place of theirs.

    Raises:
        ConfigError: They do not name the environment, or say something that is not believed, or name a wrapper that is
            not known, and nothing is given in its place.

    Example:
        >>> source = home(load("ppo/Swimmer-v3_1/Swimmer-v3.zip")).task  # doctest: +SKIP
        >>> source.wrappers  # doctest: +SKIP
        (TimeFeature(max_steps=1000, test_mode=False),)
    """
    config = agent.origin.config
    if not wrappers:
        _refuse_unread(agent, "`wrappers`, --wrapper", *NAMED)
    if not env and not env_kwargs:
        _refuse_unread(agent, "`env_kwargs`, --env-kwargs", "env_kwargs")
    theirs = {} if env else dict(config.get("env_kwargs") or {})
    worn = tuple(wrappers) or from_zoo(config)
    name, note = (env, "") if env else modern_id(_named(agent))
    notes = [] if env else [f"environment: {name}, the agent's own{f' ({note})' if note else ''}"]
    notes += [] if wrappers else _told("wrapped in", (_brief(each) for each in worn))
    left = {key: value for key, value in theirs.items() if key not in (env_kwargs or {})}
    notes += _told("made with", (f"{key}={value!r}" for key, value in left.items()))
    return Home(Task(name, env_kwargs={**theirs, **(env_kwargs or {})}, wrappers=worn), tuple(notes))


def _told(how: str, what: Iterable[str]) -> list[str]:
    found = ", ".join(what)
    return [f"environment: {how} {found}, as the agent's files say"] if found else []


def _brief(wrapper: Wrapper) -> str:
    """Write a wrapper as --wrapper takes it."""
    given = {field.name: getattr(wrapper, field.name) for field in fields(wrapper)}
    other = [f"{field.name}={given[field.name]}" for field in fields(wrapper) if given[field.name] != field.default]
    return f"{wrapper.name}:{','.join(other)}" if other else wrapper.name


def _named(agent: Agent) -> str:
    _refuse_unread(agent, "`env`, --env", "env_id")
    if not agent.origin.env_id:
        raise ConfigError("the agent's file does not name its environment; give it (`env`, --env)")
    return agent.origin.env_id


def _refuse_unread(agent: Agent, instead: str, *names: str) -> None:
    """Raise where the agent's files told something of its environment that was not believed."""
    for name, reason in agent.origin.unread:
        if name in names:
            raise ConfigError(f"the agent's files are not believed on {reason} ({instead})")
