"""What an agent met, as tensors, one row for each step or environment."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from acclimate.nets.seeding import generator

READ = ("observations", "masks", "memory")
"""The fields of a batch that networks which act read."""
Memory = dict[str, Tensor]
"""What recurrent networks remember before each step, and which steps follow one another; a row for each step:

* `now`: (rows, parts, layers, units), what the network remembered before the step, as it was when it took it;
* `prior`: the same of the pretrained network; missing where that took the step itself;
* `starts`: (rows,) of bool, whether an episode begins, so that nothing is remembered;
* `place`: (rows,) of int64, greater by one than that of the row before where the step followed it in its world.

Rows that follow one another are run as one sequence, from what was remembered before the first of them: a gradient goes
back through all of them, and any other choice of rows can be run as well.
"""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Experience as tensors, one row for each step: what one update was computed from, or a rollout."""

    observations: Any
    """What the networks read: a tensor, or a dict of them, normalised as the networks expect it; a Discrete one as a
    column, (rows, 1)."""
    actions: Tensor | None = None
    """In the policy's own units: [-1, 1] where it squashes."""
    rewards: Tensor | None = None
    next_observations: Any = None
    dones: Tensor | None = None
    masks: Tensor | None = None
    """(rows, choices) of bool: which there were to choose among; None where all were."""
    memory: Memory | None = None
    """What recurrent networks remembered before each step; without one each row begins an episode."""

    def read(self) -> dict[str, Any]:
        """Return what networks that act read of it, as plain data by field, so that it can be kept."""
        return {name: value for name in READ if (value := getattr(self, name)) is not None}

    def __len__(self) -> int:
        """Return the number of rows."""
        first = next(iter(self.observations.values())) if isinstance(self.observations, dict) else self.observations
        return len(first)

    def rows(self, index: Any) -> Batch:
        """Return the chosen rows: a slice, a mask or indices."""
        return Batch(*(_rows(getattr(self, field.name), index) for field in dataclasses.fields(self)))

    def replaced(self, rows: Tensor, by: Batch) -> Batch:
        """Return the batch with other steps in these rows; its shapes and kinds of numbers stay."""
        names = (field.name for field in dataclasses.fields(self))
        return Batch(*(_replaced(getattr(self, name), rows, getattr(by, name)) for name in names))

    def to(self, device: Any) -> Batch:
        """Return the batch on a device."""
        return Batch(*(_moved(getattr(self, field.name), device) for field in dataclasses.fields(self)))


def _rows(value: Any, index: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rows(part, index) for key, part in value.items()}
    return None if value is None else value[index]


def _replaced(value: Any, rows: Tensor, by: Any) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(part, rows, by[key]) for key, part in value.items()}
    if value is None:
        return None
    value = value.clone()
    value[rows] = by.reshape(len(rows), *value.shape[1:]).to(value)
    return value


def _moved(value: Any, device: Any) -> Any:
    if isinstance(value, dict):
        return {key: part.to(device) for key, part in value.items()}
    return None if value is None else value.to(device)


@dataclasses.dataclass(frozen=True)
class Decision:
    """What is about to be done in a rollout, one row for each environment."""

    observations: Any
    """What the networks read: a tensor, or a dict of them."""
    actions: Tensor
    """In the policy's own units, as `Batch.actions`: (environments, axes), or (environments,) or
    (environments, 1) for discrete ones."""
    starts: Tensor
    """(environments,) of bool: whether an episode begins here."""
    own: Tensor
    """(environments,) of bool: whether the row is the policy's own choice. An on-policy update leaves out the
    others, because their likelihood under the policy is not that of their being taken; a row whose action is not the
    sampled one is never its own. What is stored off-policy needs no such likelihood."""
    masks: Tensor | None = None
    """As `Batch.masks`."""
    memory: Memory | None = None
    """As `Batch.memory`."""

    @property
    def seen(self) -> Batch:
        """What the networks read, as a batch."""
        return Batch(self.observations, masks=self.masks, memory=self.memory)

    def instead(self, rows: Tensor, actions: Tensor) -> Decision:
        """Return the decision with other actions in some rows, a mask, which are then not the policy's own."""
        new = actions.reshape(self.actions.shape).to(self.actions)
        wide = rows.reshape(-1, *(1 for _ in self.actions.shape[1:]))
        return dataclasses.replace(self, actions=torch.where(wide, new, self.actions), own=self.own & ~rows)


def exchange(share: float, rows: int, stored: int, *key: int | str) -> tuple[Tensor, Tensor]:
    """Return which rows of a minibatch give way to which of the stored ones.

    Args:
        share: how many give way; one at least if it is above 0.
        rows: of the minibatch.
        stored: how many there are to draw from, with replacement.
        key: decides what is drawn.
    """
    source = generator(*key)
    count = max(1, round(share * rows)) if share > 0 else 0
    return torch.randperm(rows, generator=source)[:count], torch.randint(stored, (count,), generator=source)


def of_prior(memory: Memory) -> Memory:
    """Return the memory by which the pretrained network is run."""
    return {**memory, "now": memory["prior"]} if "prior" in memory else memory


def sequences(memory: Memory) -> tuple[Tensor, Tensor]:
    """Return which rows make up each sequence, and where each row is found again.

    Returns:
        (sequences, longest) of row numbers, a shorter one filled up by its last row; and for each row its place in
        that table when it is flat.

    Example:
        >>> place, starts = torch.tensor([4, 5, 9, 10]), torch.tensor([False, False, False, True])
        >>> sequences({"place": place, "starts": starts})
        (tensor([[0, 1],
                [2, 2],
                [3, 3]]), tensor([0, 1, 2, 4]))
    """
    place, starts = memory["place"], memory["starts"]
    begins = torch.ones_like(starts)
    begins[1:] = starts[1:] | (place[1:] != place[:-1] + 1)
    number, first = begins.long().cumsum(0) - 1, begins.nonzero()[:, 0]
    rows = torch.arange(len(place), device=place.device)
    step = rows - first[number]
    last = torch.cat([first[1:], first.new_tensor([len(place)])]) - 1
    longest = int(step.max()) + 1
    table = torch.minimum(first[:, None] + rows[None, :longest], last[:, None])
    return table, number * longest + step
