"""Whether hindsight can go on in a changed world: a step towards another goal needs the reward that it would have."""

from __future__ import annotations

import numpy as np

from acclimate.evaluation.transitions import Transitions
from acclimate.sb3.hindsight import Hindsight
from acclimate.tasks.environment import blamed
from acclimate.tasks.task import Task


def why_not(hindsight: Hindsight, task: Task, probed: Transitions | None) -> str | None:
    """Return why hindsight would teach nothing, or something wrong; None if it can go on.

    Args:
        hindsight: how the agent used it.
        task: the changed world; one environment of it is opened, and closed again.
        probed: steps that were taken there.

    Raises:
        TaskError: There is no such environment, or it raised.
    """
    env = task.make()
    try:
        if not env.has_wrapper_attr("compute_reward"):
            return "the environment has no `compute_reward` to tell what a step towards another goal is worth"
        steps = [] if probed is None or hindsight.copy_info_dict else list(probed)
        if not steps:
            return None
        reached = np.stack([step.following["achieved_goal"] for step in steps])
        wanted = np.stack([step.observation["desired_goal"] for step in steps])
        with blamed(task.describe()):
            computed = np.ravel(env.get_wrapper_attr("compute_reward")(reached, wanted, [{} for _ in steps]))
    finally:
        env.close()
    paid = np.array([step.reward for step in steps])
    if computed.shape == paid.shape and np.allclose(computed, paid, rtol=1e-4, atol=1e-6):
        return None
    return "what the environment's `compute_reward` tells is not what its steps pay"
