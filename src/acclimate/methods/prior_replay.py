"""Rehearse what the pretrained policy met in the source task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from acclimate.errors import ConfigError
from acclimate.nets.experience import Batch, exchange
from acclimate.nets.net import Net
from acclimate.nets.outputs import as_policy, divergence
from acclimate.nets.select import Select
from acclimate.schedule import Schedule, at, span
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals
from acclimate.tuning.state import Remade


@dataclass(frozen=True, kw_only=True)
class PriorReplay(Method):
    """Put steps of the pretrained policy pi0 in the source task beside each minibatch of an off-policy agent.

    Serving the actor: J(theta) + weight * mean_s KL(pi0(.|s) || pi(.|s)) over drawn states s of the source task.
    Serving all: a share of the rows of each minibatch is replaced by drawn transitions (s, a, r, s') of the source
    task, for actor and critic alike, with rewards scaled as those of the minibatch are.

    Source: Rolnick et al. 2019, "Experience Replay for Continual Learning" (arXiv:1811.11682), which replays old
    experience and clones on it the policy of old. That is for a sequence of tasks that all go on. A world that has
    changed has other dynamics or rewards: there the old transitions are *wrong* for the critic, which would learn
    values of a world that is gone. So by default they serve the actor alone, where they say only what pi0 did.

    Use it to keep the source task alive, at the cost of `steps` environment steps in it. Serving all suits a change of
    what is met and not of what follows: other starts, more noise. It loses where the old behaviour is what has to go;
    for a data set of the changed task itself there is `offline`.
    """

    name: ClassVar[str] = "prior-replay"
    family: ClassVar[str] = "data"

    serves: Literal["actor", "all"] = "actor"
    """`actor`: the policy is drawn to pi0 on the old states, which no change of the world makes wrong. `all`: the
    critic learns from the old transitions, too; only where dynamics and reward are those of the source task."""
    steps: int = 2000
    """How many steps of pi0 in the source task to keep. More: less of it is forgotten, and more is paid for."""
    share: float | Schedule = 0.1
    """How many old rows there are for each row of a minibatch, one at least if above 0. Serving the actor they come on
    top, and more only smooth the penalty; serving all they replace new ones, and more slow down the adaptation."""
    weight: float | Schedule = 1.0
    """Of the divergence, serving the actor. Higher: more of the source task is kept, slower adaptation."""
    temperature: float = 1.0
    """Of the softmax over action values, in units of value. Higher: differences of value count less.
    Q-networks only."""
    std: float = 0.2
    """Of the Gaussian around a single action, in units of the action. Higher: differences count less. TD3 and DDPG
    only."""
    on: Select = Select("actor|policy|q")
    """Which network is drawn to pi0; serving all, every network learns from the rows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise ConfigError(f"prior-replay.steps is {self.steps}; give 1 or more")
        if not 0 <= span(self.share)[0] <= span(self.share)[1] <= 1:
            raise ConfigError(f"prior-replay.share is {self.share}; give a share of a minibatch from 0 to 1")
        if span(self.weight)[0] < 0:
            raise ConfigError(f"prior-replay.weight is {self.weight}; less than 0 pushes away, give 0 or more")
        for name in ("temperature", "std"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"prior-replay.{name} is {getattr(self, name)}; give a number above 0")

    @property
    def vacuous(self) -> bool:  # type: ignore[override]
        """Whether it serves every network, and not only those in view."""
        return self.serves == "all"

    def init(self, net: Net, context: Context) -> dict[str, Any]:
        """Return the steps, which a resumed run plays again."""
        return {"seed": context.seed, "stored": Remade(context.source(self.steps))}

    def minibatch(self, net: Net, state: dict[str, Any], batch: Batch, signals: Signals) -> Batch:
        """Replace a share of the rows, if they serve all."""
        if self.serves == "actor":
            return batch
        stored = state["stored"].value
        rows, drawn = self._drawn(net, state, len(batch), signals)
        return batch.replaced(rows, net.now(stored.rows(drawn))) if len(rows) else batch

    def idle(self, signals: Signals) -> bool:
        """Tell whether nothing is added to the loss."""
        strengths = (at(value, signals.progress) for value in (self.weight, self.share))
        return self.serves == "all" or 0 in strengths

    def module_penalty(self, net: Net, state: dict[str, Any], batch: Batch, signals: Signals) -> Tensor:
        """Return the weight times the mean divergence over drawn states of the source task."""
        _, drawn = self._drawn(net, state, len(batch), signals)
        stored = state["stored"].value.rows(drawn)
        with torch.no_grad():
            before = net.apply(net.reference, stored)  # type: ignore[arg-type]
        after = net.apply(net.module, net.now(stored))
        prior, policy = (as_policy(item, temperature=self.temperature, std=self.std) for item in (before, after))
        return at(self.weight, signals.progress) * divergence(prior, policy).mean()

    def _drawn(self, net: Net, state: dict[str, Any], rows: int, signals: Signals) -> tuple[Tensor, Tensor]:
        key = (state["seed"], self.name, net.role, signals.updates)
        return exchange(at(self.share, signals.progress), rows, len(state["stored"].value), *key)
