"""A guard out of clean episodes: one half is learnt from, the other calibrates the limits."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError
from acclimate.evaluation.evaluate import play
from acclimate.evaluation.players import AgentPlayer, isolated
from acclimate.evaluation.seeds import GUARD_SEED, check_seed
from acclimate.guard.dropping import dropout_of, masks_of
from acclimate.guard.features import Features
from acclimate.guard.filter import Filter, Hysteresis
from acclimate.guard.guard import Calibration, Guard
from acclimate.guard.inside import Inside, fingerprint
from acclimate.guard.layout import Layout, Rows
from acclimate.guard.learning import Clean, learn
from acclimate.guard.playing import Look, Noting
from acclimate.guard.release import Release
from acclimate.guard.running import Running, Scoring
from acclimate.guard.tiers.reasons import DEFAULT, INNER, Reason, learned, reasons
from acclimate.statistics.conformal import conformal_quantile, needed
from acclimate.tasks.spaces import SpaceWarning, check_spaces
from acclimate.tasks.task import Task

EPISODES = 200
ALARMS = 0.05
WINDOW = 16
HAIR = 1e-5
"""What a limit lies above the score it comes from, as a share: sums are rounded otherwise in another batch."""


def fit(
    agent: Agent,
    task: Task,
    *,
    episodes: int = EPISODES,
    alarms: float = ALARMS,
    tiers: Sequence[str] | None = None,
    window: int = WINDOW,
    hysteresis: Hysteresis | None = None,
    fallback: str = "hold",
    safe: Any = None,
    action_rate: float | None = None,
    seed: int = GUARD_SEED,
    n_envs: int = 8,
) -> Guard:
    """Return a guard of an agent in the world that it is deployed in.

    A share of `alarms` of clean episodes has a false alarm at most, on average over calibrations: each tier's limit is
    the split-conformal quantile of its largest score in an episode, and the share is split among the tiers.

    Args:
        agent: Acts deterministically; it is not changed.
        task: The world as it will be, its shifts included.
        episodes: One half is learnt from, one calibrates. More: the realised share varies less.
        alarms: The share of clean episodes that may have a false alarm.
        tiers: Names of reasons; by default those of `DEFAULT` that the observations have numbers for.
        window: Steps of which the tier `statistics` takes them.
        hysteresis: When the fallback acts.
        fallback: `hold` the last action, the `safe` one, or that of an `other` agent or controller.
        safe: The safe action; by default what is nearest to zero.
        action_rate: The largest change of an action in a step, as a share of its range; any by default.
        seed: Of the first episode; all calls with one seed give the same guard.
        n_envs: Environments side by side.

    Raises:
        ConfigError: A setting cannot be, or the episodes are too few for the alarms.
        SpaceMismatchError: The agent cannot act in the task.
        TaskError: As `evaluate`.
    """
    episode = _Episodes(agent, task, check_seed(seed, "seed"), n_envs)
    chosen = _tiers(episode.layout, tiers)
    _check(episodes, alarms, chosen, window)
    release = Release.of(task.action_space, safe=safe, fallback=fallback, rate=action_rate)
    inside = Inside(agent) if any(reason in INNER for reason in chosen) else None
    clean = _watched(episode, inside, episodes // 2)
    filter_ = learn(clean, episode.layout, chosen, window, hysteresis or Hysteresis(), _masks(agent, inside))
    scores = episode.play(Scoring(Running(filter_, episode.layout, inside)), episodes // 2, episodes)
    _calibrate(filter_, scores, alarms)
    about = Calibration(task.describe(), episodes, alarms, seed, fingerprint(agent.model.policy))
    return Guard(task.observation_space, task.action_space, filter_, release, about)


def _masks(agent: Agent, inside: Inside | None) -> Tensor | None:
    """Return which hidden units are left out to ask the policy again, if it was trained so."""
    p = dropout_of(agent, inside.nets) if inside is not None and inside.units else None
    return None if p is None or inside is None else masks_of(inside.units, p)


class _Episodes:
    """Plays the episodes of a fit."""

    def __init__(self, agent: Agent, task: Task, seed: int, n_envs: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SpaceWarning)  # bounds that differ are told where an agent meets its task
            check_spaces(agent, task)
        self.layout = Layout(task.observation_space)
        self._agent, self._task, self._seed, self._n_envs = agent, task, seed, n_envs

    def play(self, look: Look, first: int, end: int) -> list[NDArray[Any]]:
        """Return what a look keeps of the episodes from `first` to `end`."""
        seed = self._seed + first
        with isolated(self._agent, seed):
            player = Noting(AgentPlayer(self._agent, True), self.layout, look)
            return player.episodes(play(player, self._task, end - first, seed, self._n_envs, True))


def _watched(episodes: _Episodes, inside: Inside | None, number: int) -> Clean:
    """Play the episodes that are learnt from."""
    layout, width = episodes.layout, 0
    features, extremes = Features(layout), []

    def look(rows: Rows, starts: NDArray[np.bool_]) -> Rows:
        nonlocal width
        extremes[:] = [np.minimum.reduce([*extremes[:1], *rows]), np.maximum.reduce([*extremes[1:], *rows])]
        found = [features(torch.from_numpy(rows)).numpy()]
        if inside is not None:
            latent, out = inside(layout.observations(rows))
            width, found = latent.shape[1], [*found, latent.numpy(), out.numpy()]
        return np.concatenate(found, axis=1)

    kept, ends = episodes.play(look, 0, number), (len(features), len(features) + width)
    parts = [np.split(episode, ends, axis=1) for episode in kept]
    return Clean(extremes[0], extremes[1], *(list(part) for part in zip(*parts, strict=True)))


def _calibrate(filter_: Filter, episodes: list[Rows], alarms: float) -> None:
    """Set the limits by the largest score of each tier in each episode."""
    largest = np.stack([scores.max(0) for scores in episodes])
    share = alarms / max(1, len(learned(filter_.reasons)))
    for place, reason in enumerate(filter_.reasons):
        if reason is Reason.NOT_FINITE:
            continue
        limit = conformal_quantile(largest[:, place], share)
        if limit == 0.0 and reason is Reason.STATISTICS:
            raise ConfigError("no episode is as long as the window of the tier `statistics`; give a shorter one")
        filter_.limits[place] = limit * (1 + HAIR)


def _tiers(layout: Layout, names: Sequence[str] | None) -> tuple[Reason, ...]:
    """Return the tiers that are asked for, or the default ones that can be."""
    countless = not len(Features(layout))
    outer = {Reason.NOT_FINITE, Reason.BOUNDS, Reason.LATENT}
    if names is None:
        return tuple(reason for reason in DEFAULT if not countless or reason in outer)
    chosen = reasons(names)
    wrong = [reason.word for reason in chosen if countless and reason not in outer]
    if wrong:
        raise ConfigError(f"the tier `{wrong[0]}` measures distances, and the observations are choices; leave it out")
    return chosen


def _check(episodes: int, alarms: float, tiers: Sequence[Reason], window: int) -> None:
    if not 0.0 < alarms < 1.0:
        raise ConfigError(f"the rate of false alarms is {alarms}; give one between 0 and 1, 0.05 for example")
    if not 2 <= window <= 1000:
        raise ConfigError(f"a window of {window} steps has no statistics; give 2 to 1000")
    share = len(learned(tiers))
    least = 2 * needed(alarms / share) if share else 2
    if episodes < least:
        raise ConfigError(
            f"{episodes} episodes are too few for a false alarm in {alarms:g} of the episodes with {share} tiers: give "
            f"{least} at least, or a higher rate of alarms"
        )
