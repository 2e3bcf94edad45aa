"""An agent behind its guard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError
from acclimate.evaluation.players import Mask, stacked
from acclimate.guard.guard import Guard
from acclimate.guard.inside import Inside, fingerprint
from acclimate.guard.layout import Layout, Rows
from acclimate.guard.permitting import permitted
from acclimate.guard.running import Running
from acclimate.guard.tiers.reasons import SEVERE, Reason, codes
from acclimate.guard.tiers.tier import State

Controller = Callable[[Any], Any]
"""From a batch of observations to a batch of actions."""


class Memory(NamedTuple):
    """All that is remembered of the episodes of a batch."""

    guard: State
    """Tensors with the axis of rows first."""
    agent: Any = None
    """The state of a recurrent policy."""
    other: Any = None
    """The same of the other agent."""


class Decision(NamedTuple):
    """What became of a step, a row for each environment."""

    codes: NDArray[np.int64]
    """(rows,), the bits of the reasons: `Reason(code)` names them, and 0 is none."""
    flags: NDArray[np.bool_]
    """(rows, tiers)."""
    scores: Rows
    """(rows, tiers)."""
    refusing: NDArray[np.bool_]
    """Where the fallback acted."""
    mended: NDArray[np.bool_]
    """Where an action was not finite, out of its bounds or too fast."""


class Guarded:
    """An agent that acts on nothing its guard refuses.

    Where an observation is refused, the policy sees the one that was last trusted, and after several of them the
    fallback acts. What is not refused reaches the agent as it came, so that its actions are the same to the bit.
    """

    def __init__(self, agent: Agent, guard: Guard, other: Agent | Controller | None = None) -> None:
        """Put a guard before an agent.

        Args:
            agent: which it was fitted to.
            guard: with limits.
            other: acts where the guard's fallback is `other`: the pretrained agent, or a function from observations to
                actions. It sees refused observations too where all of their numbers are finite and within bounds.

        Raises:
            ConfigError: The guard is another agent's, or `other` is missing, not needed, or at home in other spaces.
        """
        guard.check(agent, fingerprint(agent.model.policy))
        if isinstance(other, Agent) and (found := list(guard.foreign(other))):
            raise ConfigError(f"the other agent cannot act here ({'; '.join(found)}); give one of the same spaces")
        if (guard.release.fallback == "other") != (other is not None):
            needs = "needs the agent or function that acts then" if other is None else "takes no other agent"
            raise ConfigError(f"a guard whose fallback is `{guard.release.fallback}` {needs}")
        self.agent, self.guard, self.other = agent, guard, other
        self._layout = guard.layout
        inside = Inside.of(agent, guard.filter)
        self._running = Running(guard.filter, self._layout, inside)
        self._severe = [reason in SEVERE for reason in guard.filter.reasons]

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What the columns of flags and scores are."""
        return self.guard.filter.reasons

    def initial(self, rows: int = 1) -> Memory:
        """Return the memory of episodes that begin."""
        return Memory(self.guard.initial(rows))

    def predict(
        self,
        observations: Any,
        memory: Memory,
        starts: NDArray[np.bool_] | None = None,
        *,
        deterministic: bool = True,
        action_masks: NDArray[np.bool_] | None = None,
    ) -> tuple[Any, Decision, Memory]:
        """Return actions that may be taken, why, and the memory for the next step.

        Args:
            observations: one or a batch, as the environment gives them.
            memory: what the last call returned, or `initial`.
            starts: (rows,), which begin an episode; none by default.
            deterministic: as `Agent.predict`.
            action_masks: as `Agent.predict`; what is not allowed is left to the agent.

        Raises:
            GuardRefusal: The observations are of another shape or kind.
            ConfigError: Memory or starts are of another batch, or a controller gives no actions.
        """
        single = self._layout.single(observations)
        batch = _batch(observations) if single else observations
        rows = self._layout.rows(batch)
        starts = _starts(starts, memory, len(rows))
        clean, flags, scores, after = self._running.step(rows, memory.guard, starts)
        masks = None if action_masks is None else np.array(action_masks, bool).reshape(len(rows), -1)
        options: dict[str, Any] = {} if masks is None else {"action_masks": masks}
        seen = shown(self._layout, batch, clean, flags.any(1))
        actions, agent = self.agent.predict(seen, memory.agent, starts, deterministic, **options)
        elsewhere, other = self._elsewhere(batch, clean, flags, memory, starts)
        proposed, refusing = self.guard.release.narrowed(torch.from_numpy(np.array(actions))), after["refusing"]
        last = torch.where(torch.from_numpy(starts)[:, None], self.guard.release.safe, memory.guard["action"])
        taken, mended = self.guard.release(proposed, refusing, last, elsewhere)
        if masks is not None:
            allowed = permitted(self.guard.action_space, taken, torch.from_numpy(masks))
            taken = torch.where(allowed[:, None], taken, proposed)
        made = _actions(taken.numpy(), self.guard.action_space)
        decision = Decision(codes(self.reasons, flags), flags, scores, refusing.numpy()[:, 0] > 0, mended.numpy())
        return made[0] if single else made, decision, Memory({**after, "action": taken}, agent, other)

    def _elsewhere(
        self, batch: Any, clean: Rows, flags: NDArray[np.bool_], memory: Memory, starts: NDArray[np.bool_]
    ) -> tuple[Tensor | None, Any]:
        """Return what the other agent or controller does, and what it remembers."""
        if self.other is None:
            return None, None
        seen = shown(self._layout, batch, clean, flags[:, self._severe].any(1))
        if isinstance(self.other, Agent):
            actions, state = self.other.predict(seen, memory.other, starts, deterministic=True)
            return _numbers(actions), state
        return _controlled(self.other(seen), self.guard.action_space, len(clean)), None


class GuardedPlayer:
    """A guarded agent in a loop of several environments, which keeps its memory; `evaluation` plays with it."""

    def __init__(self, guarded: Guarded) -> None:
        self._guarded = guarded
        self._memory: Memory | None = None
        self.decision: Decision | None = None
        """Of the last step."""

    def begin(self, slot: int, seed: int) -> None:
        """Do nothing: the memory is reset by `starts`."""

    def act(self, observations: Sequence[Any], starts: NDArray[np.bool_], masks: Sequence[Mask]) -> Sequence[Any]:
        """Return an action for each environment.

        Args:
            observations: what each sees.
            starts: (environments,), where an episode has just begun.
            masks: which actions each allows; None where it does not tell.
        """
        memory = self._guarded.initial(len(observations)) if self._memory is None else self._memory
        told = np.stack(masks) if self._guarded.agent.masked and masks[0] is not None else None  # type: ignore[arg-type]
        actions, self.decision, self._memory = self._guarded.predict(
            stacked(observations), memory, starts, action_masks=told
        )
        return actions


def shown(layout: Layout, batch: Any, clean: Rows, refused: NDArray[np.bool_]) -> Any:
    """Return a batch of observations in which the rows that are refused, (rows,), are those of `clean`."""
    if not refused.any():
        return batch
    trusted = layout.observations(clean[refused])
    if isinstance(batch, dict):
        return {key: _filled(batch[key], refused, part) for key, part in trusted.items()}
    return _filled(batch, refused, trusted)


def _starts(starts: Any, memory: Memory, rows: int) -> NDArray[np.bool_]:
    """Return which rows begin an episode, once memory and they are of as many as are seen."""
    found = np.zeros(rows, bool) if starts is None else np.array(starts, bool).reshape(-1)
    remembered = len(memory.guard["action"])
    if {len(found), remembered} != {rows}:
        raise ConfigError(
            f"{rows} observations, a memory of {remembered} and {len(found)} starts: give as many of each; `initial("
            f"{rows})` begins them"
        )
    return found


def _controlled(actions: Any, space: spaces.Space, rows: int) -> Tensor:
    """Return a controller's batch of actions as rows; one that is not finite is mended later."""
    wanted = (rows, *(space.shape or ()))
    try:
        found = np.asarray(actions, np.float64)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"the controller's actions are no numbers of shape {wanted}") from error
    if found.shape != wanted:
        raise ConfigError(f"the controller's actions are of shape {found.shape}; give a batch of them, {wanted}")
    return _numbers(found)


def _batch(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: np.asarray(part)[None] for key, part in observation.items()}
    return np.asarray(observation)[None]


def _filled(values: Any, refused: NDArray[np.bool_], trusted: Any) -> Any:
    filled = np.array(values)
    filled[refused] = trusted.reshape(-1, *filled.shape[1:])
    return filled


def _numbers(actions: Any) -> Tensor:
    """Return a batch of actions as rows."""
    found = np.asarray(actions)
    with np.errstate(over="ignore"):
        return torch.from_numpy(found.reshape(len(found), -1).astype(np.float32))


def _actions(rows: Rows, space: spaces.Space) -> NDArray[Any]:
    """Return rows as a batch of actions; numbers for a Box of whole ones stay as they are, as SB3 steps with them."""
    whole = isinstance(space, spaces.Box) and space.dtype.kind != "f"
    return rows.reshape(-1, *(space.shape or ())).astype(np.float32 if whole else space.dtype)
