"""Which agent a run keeps, and what it and the others return in the end."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from acclimate.agents.agent import Agent
from acclimate.evaluation.evaluate import Evaluation
from acclimate.planning.case import Case
from acclimate.reports.findings import Measured
from acclimate.runs.before import Before
from acclimate.runs.episodes import Episodes
from acclimate.statistics.judgement import FEWEST, sure_gain
from acclimate.tasks.spaces import task_spaces
from acclimate.training.job import Trained
from acclimate.training.record import Snapshot


@dataclass(frozen=True)
class Judged:
    """Whether a tuned agent is kept."""

    better: bool
    why: str
    """What decided."""
    steps: int = 0
    """Environment steps that judging took."""


@dataclass(frozen=True)
class Verdict:
    """What is kept, and the final episodes."""

    kept: Agent
    """The agent to use: the tuned one, or a copy of the pretrained one where nothing was better."""
    chosen: Snapshot | None
    """Which snapshot it is, None where the pretrained agent is kept."""
    why: str
    """What decided."""
    measured: Mapping[str, Measured]
    """The final episodes by the names of the worlds."""
    steps: int
    """Environment steps that choosing, judging and the final episodes took."""


def judge(case: Case, before: Before, trained: Trained) -> Verdict:
    """Choose one agent of what training brought, keep it or the pretrained one, and play the final episodes.

    The end of training is played before the chosen agent is made of its model, which changes that for good.
    """
    play = Episodes(case)
    (found, choosing), last = choose(trained, play), trained.last
    judged = Judged(False, "training left no agent to judge") if found is None else surely_better(case, trained, found)
    chosen = found if judged.better else None
    same = chosen is not None and chosen is last
    ends = {} if last is None or same else play.together(play.everywhere(lambda: trained.show(last)))
    kept = _kept(case, trained, chosen)
    after = {} if chosen is None else play.together(play.everywhere(lambda: kept))
    steps = choosing + judged.steps + sum(each.steps for each in (*ends.values(), *after.values()))
    return Verdict(kept, chosen, judged.why, measured(before, after, ends, same=same), steps)


def choose(trained: Trained, play: Episodes) -> tuple[Snapshot | None, int]:
    """Return the one agent that is judged, None where training left none, and the steps played to choose it.

    The best snapshot and the end of training are compared on episodes that judge neither: judging both, and keeping
    whichever passes, would keep an agent without any gain nearly twice as often.
    """
    best, last = trained.record.best, trained.last
    if best is None or last is None or best.steps == last.steps:
        return (best if last is None else last), 0
    jobs = {name: lambda one=one: play.choosing(trained.show(one)) for name, one in (("best", best), ("last", last))}
    found = play.together(jobs)
    # The end of training wins a tie: it is what the report's `last` column shows.
    better = best if found["best"].returns.mean() > found["last"].returns.mean() else last
    return better, sum(each.steps for each in found.values())


def surely_better(case: Case, trained: Trained, found: Snapshot) -> Judged:
    """Return whether a snapshot surely returns more than the pretrained agent, and by what that was judged."""
    asked = case.recipe.evaluation.judging_episodes
    if asked < FEWEST:
        return Judged(False, f"too few to judge: {asked} judging episodes, and it takes {FEWEST}")
    play = Episodes(case)
    played = play.together(
        {"tuned": lambda: play.judging(trained.show(found)), "pretrained": lambda: play.judging(case.agent)}
    )
    gains = played["tuned"].returns - played["pretrained"].returns
    low = sure_gain(gains)
    said = f"at step {found.steps:,} it returns {gains.mean():+.4g} in {asked} judging episodes"
    bound = f"95 % bound {low:+.4g}" if math.isfinite(low) else "too few of its falls were seen for a bound"
    why = f"{said}, and {'' if low > 0 else 'not '}surely more ({bound})"
    return Judged(low > 0, why, sum(each.steps for each in played.values()))


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
