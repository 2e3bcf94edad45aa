"""The probe: a short look at the situation before anything is trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from acclimate.agents.agent import Agent
from acclimate.evaluation.evaluate import evaluate, evaluate_random
from acclimate.evaluation.rollouts import collect
from acclimate.evaluation.seeds import PROBE_SEED
from acclimate.evaluation.transitions import Transitions
from acclimate.nets.outputs import Categorical
from acclimate.planning.case import Case
from acclimate.sb3.networks import find
from acclimate.statistics.estimates import Floats
from acclimate.tasks.task import Task

OPEN_ENTROPY = 0.5
"""Share of the greatest entropy at which a discrete policy explores well."""
ENTROPY_STEPS = 256
AT_ONCE = 32
"""States that the policy sees at once."""
PROBE_SHARE = 0.05
"""The share of a run's steps that its target episodes may take, of which one is always played, or its states."""
HOTTEST = 1e3


@dataclass(frozen=True)
class Situation:
    """What the probe found. `None` where it could not look.

    Returns are means over `episodes` stochastic-free episodes on seeds of the probe's own.
    """

    source_return: float | None = None
    """The agent's return in the world it was trained in."""
    target_return: float | None = None
    """Its return in the changed world, untouched (zero-shot)."""
    random_return: float | None = None
    """A uniformly random policy's return in the source world, which fixes the zero of the scale."""
    episodes: int = 0
    """Target episodes that were played; the means of the source world are over as many as asked for."""
    steps: int = 0
    """Target environment steps spent; they are charged to the run."""
    std: float | None = None
    """Mean standard deviation of a Gaussian policy, in units of the action."""
    entropy: float | None = None
    """Mean entropy of a discrete policy on target observations, as a share of the most it can have."""
    temperature: float | None = None
    """At this temperature of its softmax the entropy would be `OPEN_ENTROPY`; None where it is at least that."""
    source_length: float | None = None
    """Mean episode length in the source world, in steps."""
    source_steps: int = 0
    """Steps spent in the source world, by the agent and by chance; not charged."""
    target_length: float | None = None
    """Mean episode length in the target world, in steps."""

    @property
    def retained(self) -> float | None:
        """The share of the agent's skill that survives the change: 1 all of it, 0 none above chance."""
        if self.source_return is None or self.target_return is None or self.random_return is None:
            return None
        skill = self.source_return - self.random_return
        if skill <= 0:
            return None
        return float(np.clip((self.target_return - self.random_return) / skill, 0.0, 1.0))

    def to_json(self) -> dict[str, Any]:
        """Return the findings as JSON-able data."""
        return {**asdict(self), "retained": self.retained}


def gaussian_std(agent: Agent) -> float | None:
    """Return the mean standard deviation of a state-independent Gaussian policy, else None."""
    log_std = getattr(agent.model.policy, "log_std", None)
    if not isinstance(log_std, torch.Tensor) or getattr(agent.model, "use_sde", False):
        return None
    return float(log_std.detach().exp().mean())


def is_discrete_actor(agent: Agent) -> bool:
    """Return whether the agent's policy is a softmax over actions, which a temperature can open."""
    head = getattr(agent.model.policy, "action_net", None)
    discrete = isinstance(agent.action_space, spaces.Discrete | spaces.MultiDiscrete)
    # Dividing the head's numbers divides the logits only where nothing else makes them.
    return (
        discrete
        and not agent.methods
        and isinstance(head, torch.nn.Linear)
        and hasattr(agent.model.policy, "get_distribution")
    )


def _spread(agent: Agent, target: Task, steps: int) -> dict[str, float | None]:
    """Return the entropy of a softmax policy on its own steps in the target, and what would open it."""
    if not steps:
        return {}
    seen = collect(agent, target, steps, seed=PROBE_SEED)
    actor = next(net for net in find(agent.model) if net.decides)
    with torch.no_grad():
        pieces = [actor.apply(actor.module, seen.rows(some)) for some in torch.arange(steps).split(AT_ONCE)]
    policies = [piece for piece in pieces if isinstance(piece, Categorical)]

    def entropy(temperature: float) -> float:
        spreads = [policy.heated(temperature).spread() for policy in policies]
        now, most = (torch.cat(parts).mean() for parts in zip(*spreads, strict=True))
        return float(now) / float(most) if most > 0 else 1.0

    now = entropy(1.0)
    if now >= OPEN_ENTROPY:
        return {"entropy": now, "temperature": None}
    low, high = 1.0, HOTTEST
    for _ in range(40):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if entropy(middle) < OPEN_ENTROPY else (low, middle)
    return {"entropy": now, "temperature": high}


def _on_target(
    agent: Agent, target: Task, episodes: int, n_envs: int, budget: int, record: Transitions | None
) -> tuple[Floats, Floats]:
    """Return the returns and lengths of target episodes; fewer than asked for where they are long for the budget."""
    first = evaluate(agent, target, episodes=1, seed=PROBE_SEED, n_envs=1, record=record)
    returns, lengths = [first.returns], [first.lengths]
    episodes = min(episodes, max(1, int(PROBE_SHARE * budget / first.lengths[0])))
    if episodes > 1:
        more = episodes - 1
        rest = evaluate(agent, target, episodes=more, seed=PROBE_SEED + 1, n_envs=min(n_envs, more), record=record)
        returns.append(rest.returns)
        lengths.append(rest.lengths)
    return np.concatenate(returns), np.concatenate(lengths)


def probe(case: Case, *, record: Transitions | None = None) -> Situation:
    """Measure how much of the agent's skill the changed world leaves.

    Args:
        case: The pretrained agent and its worlds; steps in the changed one are counted in the result. The recipe says
            over how many episodes a mean is, and how many steps the run has, of which the probe takes little more than
            `PROBE_SHARE`.
        record: Gets the target episodes step by step.
    """
    agent, source, recipe = case.agent, case.source, case.recipe
    std = gaussian_std(agent)
    if recipe.mode != "adapt":
        return Situation(std=std)
    looks = is_discrete_actor(agent) and recipe.warm_start.std != "keep"
    steps = min(ENTROPY_STEPS, int(PROBE_SHARE * recipe.steps)) if looks else 0
    spread = _spread(agent, case.task, steps)
    episodes, n_envs = recipe.warm_start.probe_episodes, recipe.measuring_envs
    if episodes == 0:
        return Situation(std=std, steps=steps, **spread)
    plan = {"episodes": episodes, "seed": PROBE_SEED, "n_envs": min(n_envs, episodes)}
    returns, lengths = _on_target(agent, case.task, episodes, n_envs, recipe.steps, record)
    found = {
        **spread,
        "target_return": float(returns.mean()),
        "target_length": float(lengths.mean()),
        "episodes": len(returns),
        "steps": int(lengths.sum()) + steps,
        "std": std,
    }
    if source is not None:
        on_source = evaluate(agent, source, **plan)
        found["source_return"] = float(on_source.returns.mean())
        found["source_length"] = float(on_source.lengths.mean())
        by_chance = evaluate_random(source, **plan)
        found["random_return"] = float(by_chance.returns.mean())
        found["source_steps"] = on_source.steps + by_chance.steps
    return Situation(**found)
