"""Let the pretrained policy and the one that learns both propose, and the critic choose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from acclimate.errors import ConfigError, SurgeryError
from acclimate.nets.experience import Batch, Decision
from acclimate.nets.net import Net
from acclimate.nets.outputs import choose
from acclimate.nets.seeding import generator
from acclimate.nets.select import Select
from acclimate.schedule import Schedule, at, span
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals


@dataclass(frozen=True, kw_only=True)
class PolicyExpansion(Method):
    """In training, take the action of the pretrained policy or of the learner, whichever the critic prefers.

    a_0 = the likeliest action of pi0, a_1 ~ pi; take a_i with probability exp(Q(s, a_i) / temperature) / sum_j
    exp(Q(s, a_j) / temperature), where Q is the least that the critics say; what is stored is what was taken.

    Source: Zhang, Xu and Yu 2023, "Policy Expansion for Bridging Offline-to-Online Reinforcement Learning"
    (arXiv:2302.00935), called PEX. There the learner begins anew beside the frozen policy; here it begins as it, so
    that the set of two grows as the learner moves away, and a learner that forgets is covered by pi0 until it has
    something better. The updates are those of the algorithm: only what is done changes.

    Use it where pi0 still does well in parts of the changed world and training damages them at first. It loses where
    the critic cannot judge the two: it was trained in the old world, and in the first steps of a changed reward its
    choice is that of the old one. It needs a critic of states and actions, as SAC, TD3, DDPG, TQC and CrossQ have.
    Evaluation, and the agent that is kept, act by the learner alone: what pi0 still adds then is lost.
    """

    name: ClassVar[str] = "policy-expansion"
    family: ClassVar[str] = "data"
    lasting: ClassVar[bool] = False
    vacuous: ClassVar[bool] = True

    temperature: float | Schedule = 0.1
    """Of the choice, in units of value; 0.1 is the authors'. Higher: nearer to tossing a coin; towards 0 the better
    action is always taken. Where returns are in the hundreds, 0.1 hardly ever takes the lesser one."""
    on: Select = Select("actor|policy|q")
    """Which network learns; it must be an actor whose actions a critic rates."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if span(self.temperature)[0] <= 0:
            raise ConfigError(f"policy-expansion.temperature is {self.temperature}; give a number above 0")

    def inject(self, net: Net, context: Context) -> None:
        """Refuse a network whose actions nobody rates."""
        if net.rates is None:
            raise SurgeryError(
                f"`{self.name}` on `{net.role}`: no critic rates its actions, which is what chooses between the two "
                "policies; tune a SAC, TD3, DDPG, TQC or CrossQ agent with it, on `actor`"
            )

    def init(self, net: Net, context: Context) -> dict[str, Any]:
        """Return the seed of the choices, and how many were made."""
        return {"seed": context.seed, "asked": 0}

    def act(
        self, net: Net, state: dict[str, Any], decision: Decision, signals: Signals
    ) -> tuple[Decision, dict[str, Any]]:
        """Put the action of pi0 where the critic's choice falls on it."""
        shown = Batch(decision.observations, decision.actions)
        proposed = choose(net.prior(shown)).to(decision.actions)
        values = [self._value(net, shown), self._value(net, replace(shown, actions=proposed))]
        odds = torch.softmax(torch.stack(values, -1) / at(self.temperature, signals.progress), -1)
        draws = generator(state["seed"], self.name, state["asked"])
        prior = torch.multinomial(odds.cpu(), 1, generator=draws)[:, 0].to(decision.own.device) == 1
        # What another method decided stands: it is no proposal of the learner's.
        return decision.instead(prior & decision.own, proposed), {**state, "asked": state["asked"] + 1}

    def _value(self, net: Net, batch: Batch) -> torch.Tensor:
        return net.rates(batch).min(-1).values  # type: ignore[misc]
