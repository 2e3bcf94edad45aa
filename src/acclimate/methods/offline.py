"""Learn from a data set beside what is met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from acclimate.errors import ConfigError, SurgeryError
from acclimate.files.dataset import Dataset, read
from acclimate.nets.experience import Batch, exchange
from acclimate.nets.net import Intake, Net
from acclimate.nets.select import Select
from acclimate.schedule import Schedule, at, span
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals
from acclimate.tuning.state import Remade


@dataclass(frozen=True, kw_only=True)
class Offline(Method):
    """Mix transitions of a Minari data set of the changed task into every minibatch of an off-policy agent.

    A share of the rows of each minibatch is replaced by transitions (s, a, r, s', terminal) that are drawn from the
    data set with replacement; all networks learn from the mixture. Observations are normalised as the networks read
    them now, actions put in the policy's units, rewards scaled as those of the minibatch are.

    Source: Ball et al. 2023, "Efficient Online Reinforcement Learning with Offline Data" (arXiv:2302.02948), called
    RLPD, which takes half of each minibatch from the data. The other parts of it (layer normalisation and an ensemble
    in the critic, many updates a step) are not in this method.

    Use it where there are recordings of the changed world, by whatever policy. It loses where they are of another
    world, dynamics or reward: the critic then learns that world, as with `prior-replay` serving all. A critic without
    layer normalisation can overestimate actions that the data does not have; then take a smaller share.

    Reading needs `pip install 'acclimate[minari]'`. Nothing in the data set is executed: it is read as HDF5 by Minari,
    and a data set that does not tell its spaces is refused, because Minari would make its environment to find out.
    """

    name: ClassVar[str] = "offline"
    family: ClassVar[str] = "data"
    vacuous: ClassVar[bool] = True

    data: str
    """The id of a data set that `minari download` has fetched, or the path of its folder."""
    share: float | Schedule = 0.5
    """How much of each minibatch comes from the data set, one row at least if above 0; half as in the paper. Higher:
    more is learnt of what it holds, and less of what the agent meets. `0.5->0.0@0.5` lets go over the first half."""
    on: Select = Select("actor|policy|q")
    """Which network asks for the data; all of them learn from it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.data:
            raise ConfigError("offline.data is empty; give the id of a Minari data set, or the path of its folder")
        if not 0 <= span(self.share)[0] <= span(self.share)[1] <= 1:
            raise ConfigError(f"offline.share is {self.share}; give a share of a minibatch from 0 to 1")

    def init(self, net: Net, context: Context) -> dict[str, Any]:
        """Return the data, which a resumed run reads again."""
        intake = _intake(net)
        recorded = read(self.data, intake.observation_space, intake.action_space)
        return {"seed": context.seed, "dataset": Remade(recorded)}

    def minibatch(self, net: Net, state: dict[str, Any], batch: Batch, signals: Signals) -> Batch:
        """Replace a share of the rows by those of the data set."""
        dataset: Dataset = state["dataset"].value
        key = (state["seed"], self.name, signals.updates)
        rows, drawn = exchange(at(self.share, signals.progress), len(batch), len(dataset), *key)
        if not len(rows):
            return batch
        intake, steps = _intake(net), dataset.steps(drawn.numpy())
        mixed = Batch(
            observations=intake.observations(steps.observations),
            actions=intake.actions(steps.actions),
            rewards=intake.rewards(torch.as_tensor(steps.rewards, dtype=torch.float32)),
            next_observations=intake.observations(steps.next_observations),
            dones=torch.as_tensor(steps.dones),
        )
        return batch.replaced(rows, mixed)


def _intake(net: Net) -> Intake:
    if net.intake is None:
        raise SurgeryError(
            f"`offline` on `{net.role}`: nobody tells how the network reads what environments give; train the agent "
            "by `finetune`, or put the data into the buffer of your own loop"
        )
    return net.intake
