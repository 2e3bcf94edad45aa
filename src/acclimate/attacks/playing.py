"""Episodes under attack, and what is worst of several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acclimate.agents.agent import Agent
from acclimate.attacks.attack import Attack, Attacker
from acclimate.attacks.evading import Evading
from acclimate.errors import ConfigError
from acclimate.evaluation.evaluate import Evaluation, evaluate
from acclimate.evaluation.players import Mask, Player, stacked
from acclimate.evaluation.seeds import FINAL_SEED
from acclimate.guard.guarded import Guarded, GuardedPlayer
from acclimate.tasks.task import Task

Shows = Callable[[Any, NDArray[np.bool_], Mask], Any]
"""From a batch of observations, which of them begin an episode, and their masks, to what is shown instead."""


def attacked(
    agent: Agent,
    task: Task,
    attack: Attack,
    *,
    guarded: Guarded | None = None,
    evade: bool = True,
    episodes: int = 50,
    seed: int = FINAL_SEED,
    n_envs: int = 8,
) -> Evaluation:
    """Play the episodes that `evaluate` would play, with what the agent sees moved at each step.

    The world goes on from its true state. The agent takes its likeliest actions, and the attacker knows its weights.

    Args:
        agent: Which is attacked; it is not changed.
        task: Where.
        attack: How, and how far.
        guarded: The same agent behind its guard, which then plays.
        evade: Keep below the guard's limits, as one who knows it does; else the guard sees the attack as it is.
        episodes: As `evaluate`.
        seed: As `evaluate`.
        n_envs: As `evaluate`; the gradients of all are computed together, and another number draws other beginnings.

    Raises:
        ConfigError: The agent cannot be attacked so, or the guard is another agent's.
        SurgeryError: Its networks are not known, or its observations have no neighbours.
        SpaceMismatchError: Its spaces are not the task's.
        TaskError: As `evaluate`.
    """
    if guarded is not None and guarded.agent is not agent:
        raise ConfigError("the guard stands before another agent; give the agent that it was put before")
    attacker = Attacker(agent, attack, seed)
    shows: Shows = attacker if guarded is None or not evade else Evading(attacker, guarded)

    def behind(player: Player) -> Player:
        return Attacked(player if guarded is None else GuardedPlayer(guarded), shows, masked=agent.masked)

    return evaluate(agent, task, episodes=episodes, seed=seed, n_envs=n_envs, behind=behind)


def strongest(evaluations: Mapping[str, Evaluation]) -> str:
    """Return the name of the evaluation with the least mean return.

    It was chosen by the very episodes that tell its return, so that new ones would, on average, show a little more.
    """
    return min(evaluations, key=lambda name: float(evaluations[name].returns.mean()))


class Attacked:
    """A player that sees what an attack shows it."""

    def __init__(self, player: Player, shows: Shows, *, masked: bool) -> None:
        self._player, self._shows, self._masked = player, shows, masked

    def begin(self, slot: int, seed: int) -> None:
        """Begin an episode."""
        self._player.begin(slot, seed)

    def act(self, observations: Sequence[Any], starts: NDArray[np.bool_], masks: Sequence[Mask]) -> Sequence[Any]:
        """Let the player act on what is shown; an agent without masks is attacked without them."""
        told = np.stack(masks) if self._masked and masks[0] is not None else None  # type: ignore[arg-type]
        shown = self._shows(stacked(observations), starts, told)
        if isinstance(shown, dict):
            shown = [{key: part[slot] for key, part in shown.items()} for slot in range(len(observations))]
        return self._player.act(list(shown), starts, masks)
