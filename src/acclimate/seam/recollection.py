"""What the pretrained networks would remember of a rollout, step by step, where they are recurrent.

A policy is compared with what it was pretrained as. Where it remembers, both have to be asked with what each of them
would know: the states that the policy has learnt to keep say nothing to another. So beside each rollout the pretrained
LSTMs are run on what is seen, from the first step of the run on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from acclimate.nets.experience import Batch, Memory
from acclimate.nets.net import Net
from acclimate.sb3.policies import recurrent


class Recollection:
    """Follows the rollouts of a recurrent policy, and gives the memory of their rows; of others there is none."""

    def __init__(self, model: BaseAlgorithm, nets: Sequence[Net]) -> None:
        """Hold the model and its networks, with their frozen copies."""
        self._model, self._net = model, nets[0]
        self._recurrent = recurrent.remembers(model.policy)
        self._next: Tensor | None = None
        self._now: Memory = {}
        self._prior: list[Tensor] = []
        self._flat: Tensor | None = None

    def begin(self) -> None:
        """Forget the rollout before, not what is remembered of its last step."""
        self._prior, self._flat = [], None

    def follow(self) -> list[RemovableHandle]:
        """Listen to a recurrent policy as it acts; return what ends it."""
        return [self._model.policy.register_forward_pre_hook(self._step)] if self._recurrent else []

    def _step(self, policy: Any, args: tuple[Any, ...]) -> None:
        """Take in the observations, states and starts of a step that is about to be taken."""
        observations, states, starts = args
        begins, prior = starts.bool(), self._net.reference
        before = recurrent.nothing(policy, len(begins)) if self._next is None else self._next
        now = torch.stack([*states.pi, *states.vf]).permute(2, 0, 1, 3)
        apart = 2 * torch.arange(len(begins), device=begins.device)
        self._now = {"now": now, "prior": before, "starts": begins, "place": apart}
        self._prior.append(before)
        seen_as = self._net.seen_as
        seen = observations if seen_as is None else seen_as(observations)
        self._next = recurrent.after(prior, seen, before, begins)

    @property
    def now(self) -> Memory | None:
        """What both remember before the step that is being taken; None of a policy that does not remember."""
        return self._now if self._recurrent else None

    @property
    def rows(self) -> Callable[[NDArray[np.int64]], Batch] | None:
        """What gives rows of the rollout by their numbers, environment by environment; None where none remember."""
        return self._batch if self._recurrent else None

    def _batch(self, rows: NDArray[np.int64]) -> Batch:
        buffer: Any = self._model.rollout_buffer  # type: ignore[attr-defined]
        stored: Any = buffer.observations if isinstance(buffer.observations, dict) else {"": buffer.observations}
        seen = {key: buffer.to_torch(part[rows]) for key, part in stored.items()}
        names = ("hidden_states_pi", "cell_states_pi", "hidden_states_vf", "cell_states_vf")
        place = torch.as_tensor(rows, device=buffer.device)
        memory = {
            "now": torch.stack([buffer.to_torch(getattr(buffer, name)[rows]) for name in names], 1),
            "starts": buffer.to_torch(buffer.episode_starts[rows]).flatten().bool(),
            # A step between two environments, so that the first of one does not follow the last of another.
            "place": place + place // buffer.buffer_size,
        }
        if len(self._prior) == buffer.buffer_size:
            if self._flat is None:
                self._flat = torch.stack(self._prior, 1).flatten(0, 1)
            memory["prior"] = self._flat[place]
        return Batch(seen.get("", seen), buffer.to_torch(buffer.actions[rows]), memory=memory)
