"""Let the pretrained policy lead into each episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from acclimate.errors import ConfigError
from acclimate.nets.experience import Decision
from acclimate.nets.net import Net
from acclimate.nets.outputs import choose
from acclimate.nets.seeding import generator
from acclimate.nets.select import Select
from acclimate.schedule import Schedule, at, span
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals


@dataclass(frozen=True, kw_only=True)
class JumpStart(Method):
    """Let the pretrained policy pi0 take the first h steps of each episode, fewer and fewer over the run.

    a_t by pi0(.|s_t) for t < h, a_t by pi(.|s_t) from there on; h is the horizon of the moment when an episode begins.

    Source: Uchendu et al. 2022, "Jump-Start Reinforcement Learning" (arXiv:2204.02372). There h falls from stage to
    stage as soon as the policy does well enough; here it falls with the environment steps, so that a run costs what it
    was given.

    On-policy (PPO, A2C) the steps of pi0 are left out of the update, because the likelihood that it compares is the
    policy's own; the values and advantages of the policy's steps are as ever, since what decides them comes later. A
    rollout without two steps of the policy's own makes no update at all. Off-policy the steps of pi0 are stored as
    any others.

    Use it where pi0 still leads to states from which there is something to learn, and the policy that is trained would
    not get there: after a reset, or with little exploration of sparse rewards. It loses where the policy begins as
    pi0, since then both lead to the same states, and steps of pi0 are paid for and, on-policy, thrown away; and where
    pi0 fails early in the changed world. Evaluation always acts by the policy alone, from the first step on.
    """

    name: ClassVar[str] = "jump-start"
    family: ClassVar[str] = "data"
    vacuous: ClassVar[bool] = True

    horizon: float | Schedule
    """How many steps of each episode pi0 takes, such as `200->0@0.5`: a straight fall to none by the middle of the run,
    which leaves the other half to the whole task. Higher: later states are seen from the beginning, and less of the
    run is the policy's own. A number that stays keeps the policy from ever learning how episodes begin."""
    deterministic: bool = True
    """Whether pi0 takes its likeliest action. If not, it draws: it leads to more different states, and less far. A
    policy that puts out one action, and a Q-network, has nothing to draw."""
    on: Select = Select("actor|policy|q")
    """Which network decides; one that does not is left alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if span(self.horizon)[0] < 0:
            raise ConfigError(f"jump-start.horizon is {self.horizon}; give a number of steps of 0 or more")

    def init(self, net: Net, context: Context) -> dict[str, Any]:
        """Return how many steps are left to pi0 in each environment, of which none is known yet."""
        return {"seed": context.seed, "asked": 0, "left": torch.zeros(0)}

    def act(
        self, net: Net, state: dict[str, Any], decision: Decision, signals: Signals
    ) -> tuple[Decision, dict[str, Any]]:
        """Let pi0 act where it has steps left."""
        starts = decision.starts
        known = state["left"].to(starts.device)
        left = known if len(known) == len(starts) else torch.zeros(len(starts), device=starts.device)
        left = torch.where(starts, float(round(at(self.horizon, signals.progress))), left)
        after = {**state, "asked": state["asked"] + 1, "left": (left - 1).clamp(min=0)}
        leads = left > 0
        if not leads.any():
            return decision, after
        draws = None if self.deterministic else generator(state["seed"], self.name, net.role, state["asked"])
        return decision.instead(leads, choose(net.prior(decision.seen), draws)), after
