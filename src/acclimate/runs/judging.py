"""Which agent a run keeps, and what it and the others return in the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from acclimate.agents.agent import Agent
from acclimate.evaluation.evaluate import Evaluation
from acclimate.planning.case import Case
from acclimate.reports.findings import Measured
from acclimate.runs.before import Before
from acclimate.runs.episodes import Episodes
from acclimate.statistics.estimates import lower_bound
from acclimate.tasks.spaces import task_spaces
from acclimate.training.job import Trained
from acclimate.training.record import Snapshot

ERRORS = 1.645
"""Standard errors below the mean gain: the one-sided 95 % bound."""


@dataclass(frozen=True)
class Verdict:
    """What is kept, and the final episodes."""

    kept: Agent
    """The agent to use: the tuned one, or a copy of the pretrained one where nothing was better."""
    chosen: Snapshot | None
    """Which snapshot it is, None where the pretrained agent is kept."""
    measured: Mapping[str, Measured]
    """The final episodes by the names of the worlds."""


def judge(case: Case, before: Before, trained: Trained) -> Verdict:
    """Choose between the best snapshot, the last and the pretrained agent, and play the final episodes.

    The end of training is played before the chosen agent is made of its model, which changes that for good.
    """
    play = Episodes(case)
    chosen, last = choose(case.agent, trained, play), trained.last
    same = chosen is not None and chosen is last
    ends = {} if last is None or same else play.together(play.everywhere(lambda: trained.show(last)))
    kept = _kept(case, trained, chosen)
    after = {} if chosen is None else play.together(play.everywhere(lambda: kept))
    return Verdict(kept, chosen, measured(before, after, ends, same=same))


def choose(agent: Agent, trained: Trained, play: Episodes) -> Snapshot | None:
    """Return the snapshot that is surely better than the pretrained agent, None where none is."""
    candidates = {s.steps: s for s in (trained.record.best, trained.last) if s is not None}
    # The end of training wins a tie: it is what the report's `last` column shows.
    if trained.last is not None:
        candidates[trained.last.steps] = trained.last
    if not candidates:
        return None
    jobs = {str(steps): lambda one=one: play.judging(trained.show(one)) for steps, one in candidates.items()}
    found = play.together({**jobs, "pretrained": lambda: play.judging(agent)})
    best, best_lower = None, 0.0
    for steps, snapshot in candidates.items():
        lower = lower_bound(found[str(steps)].returns - found["pretrained"].returns, ERRORS)
        if lower > best_lower:
            best, best_lower = snapshot, lower
    return best


def _kept(case: Case, trained: Trained, chosen: Snapshot | None) -> Agent:
    """Return a copy of the agent that is kept, with the task's own spaces."""
    agent = case.agent if chosen is None else trained.tuned(chosen)
    blueprint = dataclasses.replace(agent.blueprint, **task_spaces(case.agent, case.task))
    return agent.around(agent.model, normalizer=agent.normalizer, blueprint=blueprint).copy()


def measured(
    before: Before, after: Mapping[str, Evaluation], last: Mapping[str, Evaluation], *, same: bool
) -> dict[str, Measured]:
    """Put all final episodes together.

    Args:
        before: the pretrained agent's.
        after: the tuned agent's by the names of the worlds; none where the pretrained one is kept.
        last: those of the end of training.
        same: whether that is the agent that is kept.
    """
    found: dict[str, Measured] = {}
    for name, first in (("target", before.target), ("source", before.source)):
        if first is not None:
            now = after.get(name, first)
            found[name] = Measured(first, now, now if same else last.get(name))
    return found
