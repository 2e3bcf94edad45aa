"""What a guard does: false alarms in clean episodes, what it sees of faults, and what it saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acclimate.errors import ConfigError
from acclimate.evaluation.evaluate import Evaluation, play
from acclimate.evaluation.players import AgentPlayer, Player, isolated
from acclimate.evaluation.seeds import GUARD_TEST_SEED, check_seed
from acclimate.guard.guarded import Guarded, GuardedPlayer
from acclimate.guard.inside import Inside
from acclimate.guard.layout import Rows
from acclimate.guard.playing import Noting
from acclimate.guard.running import Running, Scoring
from acclimate.guard.tiers.reasons import Reason
from acclimate.guard.trials.faults import FAULTS, Faulty, Sensors, Unharmed, change_of
from acclimate.statistics.detection import auroc, rate_at
from acclimate.statistics.estimates import Estimate
from acclimate.statistics.proportions import exact_proportion
from acclimate.tasks.task import Task

Steps = list[NDArray[Any]]
"""An array for each episode, a number for each of its steps."""


@dataclass(frozen=True)
class Detection:
    """How scores tell the steps of a fault from clean ones."""

    auroc: float
    """Over single steps; one half is chance."""
    rate: float
    """Share of faulty steps above what one in a hundred clean steps exceeds."""
    detected: float
    """Share of the episodes in which the limit was passed while the fault showed."""
    delay: float | None
    """Median of the steps from the first at which the fault showed to the first above the limit, in those episodes."""


@dataclass(frozen=True)
class Trial:
    """One fault."""

    fault: str
    detection: Detection
    returns: tuple[float, ...] | None
    """Of the agent alone; None where it cannot act on what it sees."""
    guarded: tuple[float, ...]
    """Of the guarded agent, on the same episodes."""
    first: str
    """The tier that was most often the first to refuse."""


@dataclass(frozen=True)
class Measurement:
    """A guard, measured."""

    false_alarms: Estimate
    """Share of clean episodes with one, with Clopper and Pearson's interval."""
    by_tier: dict[str, int]
    """Clean episodes in which each tier gave one."""
    clean: tuple[float, ...]
    """Returns of the agent alone."""
    guarded: tuple[float, ...]
    trials: tuple[Trial, ...]


class Bench:
    """Plays the episodes that a guard is measured by."""

    def __init__(self, guarded: Guarded, task: Task, *, seed: int = GUARD_TEST_SEED, n_envs: int = 8) -> None:
        self.guarded, self.task = guarded, task
        self.seed, self._n_envs = check_seed(seed, "seed"), n_envs
        guard = guarded.guard
        self.layout, self.sensors = guard.layout, Sensors(guard)
        self._inside = Inside.of(guarded.agent, guard.filter)

    def play(self, player: Player, episodes: int) -> Evaluation:
        """Let a player play the first episodes."""
        with isolated(self.guarded.agent, self.seed):
            return play(player, self.task, episodes, self.seed, self._n_envs, True)

    def scoring(self) -> Scoring:
        """Return a fresh look that scores."""
        return Scoring(Running(self.guarded.guard.filter, self.layout, self._inside))

    def watched(self, episodes: int, fault: str | None = None, look: Any = None) -> tuple[Evaluation, Steps, Steps]:
        """Play the agent alone, and look on.

        Args:
            episodes: how many.
            fault: of the sensors; one that leaves no number is shown to the look alone.
            look: as `Noting` takes it; the guard's scores by default.

        Returns:
            The episodes, what was kept of each step, and at which steps the fault showed.
        """
        agent, look = AgentPlayer(self.guarded.agent, True), look or self.scoring()
        if fault is None:
            noting = Noting(agent, self.layout, look)
            played = self.play(noting, episodes)
            return played, noting.episodes(played), [np.zeros(length, bool) for length in played.lengths]
        unharmed = Unharmed(agent)
        noting = Noting(unharmed if fault == "not_finite" else agent, self.layout, look)
        faulty = Faulty(noting, self.sensors, fault)
        unharmed.faulty = faulty
        played = self.play(faulty, episodes)
        pairs = zip(played.seeds, played.lengths, strict=True)
        return played, noting.episodes(played), [np.array(faulty.shows[int(s)][:n], bool) for s, n in pairs]


def measure(
    guarded: Guarded,
    task: Task,
    *,
    episodes: int = 200,
    fault_episodes: int = 20,
    faults: Sequence[str] | None = None,
    seed: int = GUARD_TEST_SEED,
    n_envs: int = 8,
) -> Measurement:
    """Measure a guarded agent in a world.

    Args:
        guarded: with its fallback.
        task: the world it was fitted in, or another one.
        episodes: clean ones, none of which the guard was fitted to.
        fault_episodes: of each fault; their seeds are the first of the clean ones.
        faults: names of `FAULTS`; by default all, or none where the observations are choices alone.
        seed: of the first episode.
        n_envs: environments side by side.

    Raises:
        ConfigError: A number or a name cannot be, or the observations have no sensor that could fail so.
    """
    if not 1 <= fault_episodes <= episodes:
        raise ConfigError(f"{fault_episodes} episodes of each fault, {episodes} clean ones: give 1 to {episodes}")
    for fault in faults or ():
        change_of(fault)
    bench = Bench(guarded, task, seed=seed, n_envs=n_envs)
    if faults is None:
        faults = tuple(FAULTS) if bench.sensors.all else ()
    limits = guarded.guard.filter.limits.numpy()
    alone, scores, _ = bench.watched(episodes)
    alarms = np.stack([(each > limits).any(0) for each in scores])
    strange = Strangeness(scores, limits)
    clean = [strange(each) for each in scores]
    kept = bench.play(GuardedPlayer(guarded), episodes)
    usable = [fault for fault in faults if fault != "not_finite" or bench.sensors.floating or not bench.sensors.all]
    return Measurement(
        exact_proportion(alarms.any(1)),
        {reason.word: int(n) for reason, n in zip(guarded.reasons, alarms.sum(0), strict=True)},
        tuple(alone.returns.tolist()),
        tuple(kept.returns.tolist()),
        tuple(_trial(bench, fault, strange, clean, fault_episodes) for fault in usable),
    )


def _trial(bench: Bench, fault: str, strange: Strangeness, clean: Steps, episodes: int) -> Trial:
    limits, reasons = bench.guarded.guard.filter.limits.numpy(), bench.guarded.reasons
    alone, scores, shows = bench.watched(episodes, fault)
    player = Faulty(GuardedPlayer(bench.guarded), bench.sensors, fault)
    return Trial(
        fault,
        detection(clean, [strange(each) for each in scores], shows, 1.0),
        None if fault == "not_finite" else tuple(alone.returns.tolist()),
        tuple(bench.play(player, episodes).returns.tolist()),
        _first([each > limits for each in scores], shows, reasons),
    )


class Strangeness:
    """One number for each step of what the tiers give it, above 1 where one of them refuses.

    Below, it is the largest share of clean steps that a tier gives less. Shares of the limits would not do: of tiers
    whose clean scores come near their limit the others would not be heard.
    """

    def __init__(self, clean: Steps, limits: Rows) -> None:
        """Learn from the scores of clean episodes, (steps, tiers) each."""
        self._ordered, self._limits = np.sort(np.concatenate(clean), axis=0), limits

    def __call__(self, scores: Rows) -> NDArray[np.float64]:
        """Return the number of each step."""
        pairs = zip(self._ordered.T, scores.T, strict=True)
        ranks = np.max([np.searchsorted(clean, each) / len(clean) for clean, each in pairs], axis=0)
        beyond = (scores - self._limits).max(1).astype(np.float64)
        return np.where(beyond > 0, 1 + beyond, ranks)


def detection(clean: Steps, faulty: Steps, shows: Steps, limit: float) -> Detection:
    """Return how scores tell steps apart.

    Args:
        clean: scores of clean episodes.
        faulty: scores of episodes with a fault.
        shows: at which of their steps it shows.
        limit: above which a step is refused.
    """
    during = np.concatenate([each[where] for each, where in zip(faulty, shows, strict=True)])
    whole = np.concatenate(clean)
    delays = [_delay(each > limit, where) for each, where in zip(faulty, shows, strict=True) if where.any()]
    seen = [delay for delay in delays if delay is not None]
    if not len(during):
        raise ConfigError("no episode lasts until its fault begins; nothing can be told of it")
    return Detection(
        auroc(whole, during), rate_at(whole, during), len(seen) / len(delays), float(np.median(seen)) if seen else None
    )


def _delay(refused: NDArray[np.bool_], shows: NDArray[np.bool_]) -> int | None:
    begin = int(np.argmax(shows))
    late = np.flatnonzero(refused[begin:])
    return int(late[0]) if len(late) else None


def _first(flags: Steps, shows: Steps, reasons: tuple[Reason, ...]) -> str:
    """Return the tier that was most often among the first to refuse once the fault showed."""
    votes = np.zeros(len(reasons))
    for each, where in zip(flags, shows, strict=True):
        late = np.flatnonzero(each.any(1) & (np.cumsum(where) > 0))
        if len(late):
            votes += each[late[0]]
    return reasons[int(votes.argmax())].word if votes.any() else "none"
