"""An attack on what an agent sees: the observation near the true one at which it does worst."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from acclimate.agents.agent import Agent
from acclimate.attacks.harms import HARMS, Harm
from acclimate.attacks.sight import Sight
from acclimate.config import POSITIONAL, from_dict, parse_spec
from acclimate.errors import ConfigError, shown, suggest
from acclimate.evaluation.players import Mask
from acclimate.nets.experience import Batch
from acclimate.nets.near.neighbours import climb
from acclimate.nets.seeding import generator

ATTACKS = {
    "random": "draws each entry anew within the radius",
    "fgsm": "one step of the gradient towards another action",
    "pgd": "`steps` of them",
    "mad": "`steps` towards another distribution of actions, by KL divergence",
    "critic": "`steps` towards the action that the agent's own Q-networks rate least",
}
"""What each seeks. All begin at a random point within the radius."""
_SEEKS = {"random": "policy", "fgsm": "action", "pgd": "action", "mad": "policy", "critic": "value"}
_STEPS = {"random": 0, "fgsm": 1}
MOST_STEPS = 1000


@dataclass(frozen=True)
class Attack:
    """Which observations within a radius of the true one are shown to an agent."""

    name: str = "pgd"
    """One of `ATTACKS`."""
    radius: float = 0.05
    """The largest change of an entry, in units of what the network reads, as those of the method `smooth`."""
    steps: int = 10
    """Of the search. More: a better maximum. `random` makes none and `fgsm` one."""

    def __post_init__(self) -> None:
        if self.name not in ATTACKS:
            raise ConfigError(f"no attack `{str(self.name)[:100]}`. {suggest(str(self.name), ATTACKS)}")
        if not 0.0 <= self.radius < float("inf"):
            raise ConfigError(f"attack.radius is {shown(self.radius)}; give 0 or more, such as 0.05")
        if not 1 <= self.steps <= MOST_STEPS:
            raise ConfigError(f"attack.steps is {shown(self.steps)}; give 1 to {MOST_STEPS}, such as 10")

    @classmethod
    def from_spec(cls, text: str) -> Attack:
        """Read `name`, `name=radius` or `name:radius=0.1,steps=20`.

        Raises:
            ConfigError: It is none.

        Example:
            >>> Attack.from_spec("mad=0.1")
            Attack(name='mad', radius=0.1, steps=10)
        """
        name, fields = parse_spec(text)
        if POSITIONAL in fields:
            fields = {"radius": fields[POSITIONAL]}
        return from_dict(cls, {"name": name, **fields}, path="attack")


class Moment(NamedTuple):
    """What is attacked at one step of a batch of episodes."""

    raw: Any
    """The true observations."""
    seen: Batch
    """The same as the network reads them."""
    harm: Harm


class Attacker:
    """An attack against an agent that it knows from inside: its weights, and the gradients through them."""

    def __init__(self, agent: Agent, attack: Attack, seed: int = 0) -> None:
        """Look at the agent.

        Raises:
            ConfigError: It cannot be attacked so.
            SurgeryError: Its networks are not known, or its observations have no neighbours.
        """
        self.attack, self.sight = attack, Sight(agent)
        self._steps = _STEPS.get(attack.name, attack.steps)
        self._seed, self._asked = seed, 0

    def moment(self, raw: Any, masks: Mask = None) -> Moment:
        """Return what a batch of observations comes to."""
        seen = self.sight.read(raw, masks)
        with torch.no_grad():
            before = self.sight.outputs(seen)
        return Moment(raw, seen, HARMS[_SEEKS[self.attack.name]](self.sight.net, seen, before))

    def neighbours(self, moment: Moment) -> Iterator[Any]:
        """Yield observations within the radius as the network reads them, each one at which it does worse."""
        self._asked += 1
        return climb(
            lambda observations: self.harm(moment, observations),
            moment.seen.observations,
            self.sight.units,
            radius=self.attack.radius,
            steps=self._steps,
            source=generator(self._seed, self.attack.name, self._asked),
        )

    def harm(self, moment: Moment, observations: Any) -> torch.Tensor:
        """Return how badly the agent does on moved observations, (rows,)."""
        return moment.harm(self.sight.outputs(dataclasses.replace(moment.seen, observations=observations)))

    def shown(self, moment: Moment, observations: Any) -> Any:
        """Return moved observations as sensors would show them."""
        return self.sight.shown(moment.raw, moment.seen.observations, observations)

    def __call__(self, raw: Any, starts: Any, masks: Mask = None) -> Any:
        """Return what the agent is shown in the place of a batch of observations."""
        moment = self.moment(raw, masks)
        *_, worst = self.neighbours(moment)
        return self.shown(moment, worst)
