"""A guard: what filters observations before a policy, what checks actions after it, and what it was calibrated on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gymnasium import spaces

from acclimate.errors import ConfigError
from acclimate.guard.filter import Filter
from acclimate.guard.layout import Layout
from acclimate.guard.packing import Packing
from acclimate.guard.release import Release
from acclimate.guard.tiers.reasons import INNER
from acclimate.guard.tiers.tier import State
from acclimate.tasks.spaces import HasSpaces, mismatches


@dataclass(frozen=True)
class Calibration:
    """What the limits come from."""

    task: str
    """The world in which the agent played."""
    episodes: int
    """One half of them was learnt from, the other calibrated the limits."""
    alarms: float
    """The share of clean episodes that may have a false alarm."""
    seed: int
    """Of the first episode."""
    policy: str
    """Hash of the networks that played."""


@dataclass(frozen=True, eq=False)
class Guard:
    """A calibrated guard; it changes nothing by being used."""

    observation_space: spaces.Space
    action_space: spaces.Space
    filter: Filter
    release: Release
    calibration: Calibration

    @property
    def layout(self) -> Layout:
        """How observations become rows."""
        return Layout(self.observation_space)

    def initial(self, rows: int) -> State:
        """Return the state of rows that begin: the filter's, and the action that left last."""
        last = {name: value.expand(rows, -1).clone() for name, value in self.release.beginning().items()}
        return {**self.filter.initial(rows), **last}

    @property
    def packing(self) -> Packing:
        """How that state is a row of numbers."""
        return Packing({**self.filter.beginning(), **self.release.beginning()})

    def foreign(self, agent: HasSpaces) -> Iterator[str]:
        """Yield what keeps an agent from seeing and doing what the guard lets through."""
        yield from mismatches("observation", agent.observation_space, self.observation_space)
        yield from mismatches("action", agent.action_space, self.action_space)

    def check(self, agent: HasSpaces, policy: str) -> None:
        """Check that it is the guard of an agent.

        Args:
            agent: has its spaces.
            policy: hash of its networks.

        Raises:
            ConfigError: The spaces are others, or it reads the inside of another policy.
        """
        if found := list(self.foreign(agent)):
            raise ConfigError(f"the guard is another agent's ({'; '.join(found)}); fit one to this agent")
        if any(reason in INNER for reason in self.filter.reasons) and policy != self.calibration.policy:
            raise ConfigError("the guard has learnt the inside of another policy; fit one to this agent")
