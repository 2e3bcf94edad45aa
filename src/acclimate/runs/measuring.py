"""What measuring is going to take in environment steps, said before the first one."""

from __future__ import annotations

from acclimate.planning.case import Case
from acclimate.planning.plan import Plan
from acclimate.runs.before import Before
from acclimate.runs.episodes import CHOOSING
from acclimate.training.callbacks.selection import schedule

PAIR = 2
"""Agents that choosing plays at most, and judging."""
PLAYED = 2
"""Agents that play the final episodes after training at most: the one that is kept and the last one."""


def foreseen(case: Case, plan: Plan, before: Before) -> int:
    """Return about how many steps measuring takes, if episodes stay as long as the pretrained agent's.

    Args:
        case: Of the run.
        plan: Of the run.
        before: What was measured already; its steps are part of the number.
    """
    during = (len(schedule(plan.steps, case.recipe.evaluation)) + 1) * before.selection.steps
    judging = PAIR * (CHOOSING + case.recipe.evaluation.judging_episodes) * float(before.target.lengths.mean())
    final = PLAYED * (before.target.steps + (0 if before.source is None else before.source.steps))
    return before.steps_measured + during + round(judging) + final
